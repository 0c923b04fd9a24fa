//! `docs/configuration.md`, from the table.

use super::{PROPERTIES, Preset, Property, Scope, table::WITHOUT_EFFECT};
use std::fmt::Write;

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from the property table; `SEGLIFT_BLESS=1 cargo test --release --test docs_generated` writes it. -->

A setting is a key and a text. It comes from, the first that has it wins:

1. the host: `seglift_config_set`, or `--set key=value` on the command line;
2. a file: `seglift_config_load`, or `--config FILE`. A name that ends in `.toml` is seglift's own: nested tables are
   dotted keys, an unknown key is an error. Any other file is taken for a broker's (`broker.conf`, `server.properties`):
   keys may carry the prefix `seglift.`, behind which an unknown one is an error; the broker's other keys are ignored
   and listed;
3. the environment: `SEGLIFT_` and the key in capitals, dots as underscores: `SEGLIFT_UPLOAD_PART_SIZE`;
4. the default.

Within one of these, the last one given wins. `seglift config` prints every setting with its value and where that came from.

**Sizes** are whole numbers with a unit: `KiB`, `MiB`, `GiB`, `TiB` or `K`, `M`, `G`, `T` in 1024s, `KB`, `MB`, `GB`, `TB`
in 1000s, none for bytes. **Times** are whole numbers with `ms`, `s`, `m`, `h` or `d`. Where `-1` is allowed, it switches
the setting off, as any negative number does.
";

/// The text of `docs/configuration.md`.
pub fn document() -> String {
    let mut out = INTRODUCTION.to_string();
    let scopes = [
        (
            Scope::Engine,
            "Engine",
            "An engine is shared by all drivers of a process; these are fixed when it is made.",
        ),
        (Scope::Driver, "Driver", "These belong to one driver, which is one connection to one store."),
    ];
    for (scope, title, what) in scopes {
        let _ = write!(out, "\n## {title}\n\n{what}\n\n");
        out.push_str("| key | default | allowed | since | what it does |\n|---|---|---|---|---|\n");
        PROPERTIES
            .iter()
            .filter(|property| property.scope == scope)
            .for_each(|property| row(&mut out, property));
    }
    out.push_str(
        "\n## Other names\n\n\
         `codec.name` is for TOML, where `codec` cannot be a value and a table at once. The others are those of Apache\n\
         Pulsar's offloaders; plain numbers keep the unit they have there.\n\n\
         | name | means | plain numbers are | empty means | at least |\n|---|---|---|---|---|\n",
    );
    for property in PROPERTIES {
        for alias in property.aliases {
            let unit = match alias.plain.map(|unit| unit.as_millis()) {
                None => "",
                Some(1) => "ms",
                Some(_) => "s",
            };
            let empty = alias.empty.map(|text| format!("`{text}`")).unwrap_or_default();
            let least = match alias.at_least {
                0 => String::new(),
                size => format!("`{}`", super::value::Bytes(size)),
            };
            let _ = writeln!(out, "| `{}` | `{}` | {unit} | {empty} | {least} |", alias.name, property.key);
        }
    }
    out.push_str("\n## Accepted without effect\n\n");
    for (name, reason) in WITHOUT_EFFECT {
        let _ = writeln!(out, "- `{name}`: {reason}.");
    }
    out
}

fn row(out: &mut String, property: &Property) {
    let default = match property.preset {
        Preset::Fixed("") => "(empty)".to_string(),
        Preset::Fixed(text) => format!("`{text}`"),
        Preset::Computed { says, .. } => says.to_string(),
    };
    let (key, allowed, since, help) = (property.key, property.kind, property.since, property.help());
    let _ = writeln!(out, "| `{key}` | {default} | {allowed} | {since} | {help} |");
}
