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
   keys may carry the prefix `seglift.`, behind which an unknown one is an error, or Kafka's `rsm.config.`; the broker's
   other keys are ignored and listed;
3. the environment: `SEGLIFT_` and the key in capitals, dots as underscores: `SEGLIFT_UPLOAD_PART_SIZE`;
4. for `s3://` the variables of AWS's own tools, as listed below, whether or not the host passes its environment on;
5. the default.

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
    variables(&mut out);
    out.push_str("\n## Accepted without effect\n\n");
    for (name, reason) in WITHOUT_EFFECT {
        let _ = writeln!(out, "- `{name}`: {reason}.");
    }
    out
}

fn variables(out: &mut String) {
    out.push_str(
        "\n## Variables of AWS's tools\n\n\
         The first that is set and not empty counts, behind everything of the above.\n\n\
         | variable | means | values |\n|---|---|---|\n",
    );
    for property in PROPERTIES {
        for variable in property.variables {
            let words: Vec<String> =
                variable.words.iter().map(|(theirs, ours)| format!("`{theirs}` is `{ours}`")).collect();
            let _ = writeln!(out, "| `{}` | `{}` | {} |", variable.name, property.key, words.join(", "));
        }
    }
    out.push_str(
        "\nCredentials come, where no setting gives them, from the first of these that has some, as in AWS's own tools:\n\
         `AWS_ACCESS_KEY_ID` with `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` (with `store.driver=S3` also Pulsar's\n\
         `ACCESS_KEY_ID` with `ACCESS_KEY_SECRET`); the profile that `AWS_PROFILE` names (keys, `source_profile`, SSO,\n\
         `credential_process`); `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`; the container's endpoint (ECS, EKS pod\n\
         identity); the instance's metadata service (IMDSv2). They are renewed before they expire. Proxies come from\n\
         `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`; `AWS_ENDPOINT_URL_STS` names another security token service.\n\
         Of an AWS profile credentials and region count: its `endpoint_url` and `ca_bundle` are not read, so set\n\
         `s3.endpoint` and `s3.ca.file`.\n",
    );
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
