//! logging

/// How severe a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// An operation failed, or data is wrong.
    Error = 1,
    /// It went on, but somebody should know.
    Warn = 2,
    /// What happens rarely and matters: opened, closed, reconfigured.
    Info = 3,
    /// What happens often.
    Debug = 4,
}

impl Level {
    /// Every level, the most severe first.
    pub const ALL: &'static [Level] = &[Level::Error, Level::Warn, Level::Info, Level::Debug];

    /// The word that `log.level` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}
