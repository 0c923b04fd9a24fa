//! Text that is never shown: its `Debug` and `Display` print `(hidden)`, and getting at it takes
//! a call whose name stands out in a review.

use std::fmt;

/// A password, a key, a session token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text itself, for the one place that signs or sends it. Never for a message.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;

    #[test]
    fn a_secret_shows_in_no_formatting() {
        let secret = Secret::new("hunter2");
        let value = Value::Secret(secret.clone());
        for text in [format!("{secret}"), format!("{secret:?}"), format!("{value}"), format!("{value:#?}")] {
            assert!(text.contains("(hidden)") && !text.contains("hunter2"), "{text}");
        }
        assert_eq!(secret.reveal(), "hunter2");
    }
}
