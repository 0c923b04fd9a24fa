//! `seglift config`: every setting, its value and where it came from.

use crate::{app::App, args, failure::Failure};
use seglift::{
    Code, Error,
    config::{Described, Scope, Source},
};
use serde_json::{Value, json};

/// Prints the settings in force, and the names that were given in vain.
pub fn run(app: &mut App, args: &args::Config) -> Result<(), Failure> {
    // A contradiction between settings is an error here as it is everywhere else.
    app.config.settings()?;
    let mut settings = app.config.describe();
    if !args.keys.is_empty() {
        for key in &args.keys {
            if !settings.iter().any(|setting| is_named(setting, key)) {
                let message =
                    format!("there is no setting {}; without a KEY all are listed", key.escape_debug());
                return Err(Error::new(Code::InvalidArgument, message).into());
            }
        }
        settings.retain(|setting| args.keys.iter().any(|key| is_named(setting, key)));
    }
    if args.changed {
        settings.retain(|setting| setting.source != Source::Default);
    }
    let width = |of: fn(&Described) -> usize| settings.iter().map(of).max().unwrap_or(0);
    let (keys, values) = (width(|s| s.key.len()), width(|s| s.value.chars().count()));
    for setting in &settings {
        app.out.listed(
            || to_json(setting),
            || {
                let line = format!("{:keys$}  {:values$}  {}", setting.key, setting.value, setting.source);
                if args.keys.is_empty() { line } else { format!("{line}\n{}", documentation(setting)) }
            },
        )?;
    }
    if args.keys.is_empty() {
        for ignored in app.config.ignored() {
            app.out.listed(
                || json!({"ignored": ignored.name, "source": ignored.source.to_string(), "reason": ignored.reason}),
                || format!("ignored: {} ({}): {}", ignored.name, ignored.source, ignored.reason),
            )?;
        }
    }
    app.out.flush()
}

fn is_named(setting: &Described, name: &str) -> bool {
    setting.key == name || setting.aliases.contains(&name)
}

fn documentation(setting: &Described) -> String {
    let mut text =
        format!("    {}\n    Allowed: {}. Default: {}.\n", setting.help, setting.allowed, setting.default);
    if !setting.aliases.is_empty() {
        text += &format!("    Other names: {}.\n", setting.aliases.join(", "));
    }
    text
}

fn to_json(setting: &Described) -> Value {
    let origin = match &setting.source {
        Source::Default => json!({"kind": "default"}),
        Source::Environment { variable } => json!({"kind": "environment", "name": variable}),
        Source::File { path, line, name } => {
            json!({"kind": "file", "path": path, "line": line, "name": name})
        }
        Source::Set { name } => json!({"kind": "set", "name": name}),
        other => json!({"kind": "other", "name": other.to_string()}),
    };
    json!({
        "key": setting.key,
        "value": setting.value,
        "source": origin,
        "default": setting.default,
        "allowed": setting.allowed,
        "scope": match setting.scope { Scope::Engine => "engine", Scope::Driver => "driver" },
        "help": setting.help,
        "since": setting.since,
        "aliases": setting.aliases,
    })
}
