//! What `seglift reap` and `seglift sweep` say of what they met.

use crate::{
    app::{App, count, joined, time},
    failure::{self, Failure},
    talk::one_line,
};
use indicatif::HumanBytes;
use seglift::{
    Code, Error,
    maintain::{Item, Report, Tally, Verdict},
};
use serde_json::{Value, json};

/// All that was met so far, over the steps of a command.
#[derive(Default)]
pub struct Total([Tally; Verdict::ALL.len()]);

impl Total {
    /// How many ended so.
    pub fn of(&self, verdict: Verdict) -> Tally {
        self.0[verdict as usize - 1]
    }

    /// Adds a report up, and shows it: in JSON every item, else the names of what is gone or would be. What failed is
    /// an error each.
    pub fn show(&mut self, app: &mut App, store: &str, report: &Report) -> Result<(), Failure> {
        for (total, &verdict) in self.0.iter_mut().zip(Verdict::ALL) {
            let more = report.tally(verdict);
            total.count += more.count;
            total.bytes += more.bytes;
        }
        for item in report.items() {
            match (item.verdict, &item.error) {
                (Verdict::Failed, Some(error)) => app.failed(to_json(store, item), error)?,
                (Verdict::Removed | Verdict::WouldRemove, _) => {
                    app.out.listed(|| to_json(store, item), || one_line(&item.name))?;
                }
                _ => {
                    if app.out.json {
                        app.out.listed(|| full(store, item), String::new)?;
                    }
                    match (item.verdict, &item.error) {
                        (Verdict::Unreadable, Some(error)) => {
                            app.talk.note(format_args!("left, because nobody can tell whose it is: {error}"));
                        }
                        (Verdict::Missing, _) => {
                            app.talk.note(format_args!("listed as live and not in the store: {}", item.name));
                        }
                        _ => {}
                    }
                }
            }
        }
        app.out.flush()
    }

    /// A line for people: what went, and what was left for which reason.
    pub fn summary(&self, things: &str) -> String {
        let amount = |tally: Tally| match tally.bytes {
            0 => count(tally.count, things),
            bytes => format!("{}, {}", count(tally.count, things), HumanBytes(bytes)),
        };
        let mut text = match self.of(Verdict::WouldRemove) {
            Tally { count: 0, .. } => format!("removed {}", amount(self.of(Verdict::Removed))),
            would => format!("would remove {}", amount(would)),
        };
        for (verdict, why) in [
            (Verdict::Live, "live"),
            (Verdict::Young, "too young"),
            (Verdict::Alive, "whose process lives"),
            (Verdict::OtherOwner, "of other owners"),
            (Verdict::UnknownOwner, "of unknown owners"),
            (Verdict::Unreadable, "unreadable"),
            (Verdict::Changed, "written anew"),
        ] {
            let left = self.of(verdict).count;
            if left > 0 {
                text += &format!("; left {left} {why}");
            }
        }
        text
    }
}

fn to_json(store: &str, item: &Item) -> Value {
    let mut object = json!({
        "store": store,
        "name": item.name,
        "verdict": item.verdict.name(),
        "bytes": item.bytes,
    });
    if item.time_us != 0 {
        object = joined(object, json!({"modified_us": item.time_us, "modified": time(item.time_us)}));
    }
    if !item.upload_id.is_empty() {
        object = joined(object, json!({"upload_id": item.upload_id}));
    }
    object
}

fn full(store: &str, item: &Item) -> Value {
    match &item.error {
        Some(error) => joined(to_json(store, item), json!({"error": failure::to_json(error)})),
        None => to_json(store, item),
    }
}

/// A span such as `1d` or `90m`.
pub fn span(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e}; write it as 1d, 12h or 90m"))
}

/// Nothing that a command can do by mistake.
pub fn not_a_store(uri: &str) -> Option<Error> {
    (!uri.contains(':')).then(|| {
        let message =
            format!("\"{}\" names no store; write its URI, such as file:///var/tier", uri.escape_debug());
        Error::new(Code::InvalidArgument, message)
    })
}
