//! What an engine has to say, kept until its host asks.
//!
//! **Purpose.** A bounded ring of structured lines for each engine, drained by [`Logger::poll`], or
//! handed to a sink that the host sets.
//!
//! **Invariant.** Logging never waits for a reader: a full ring gives up its oldest lines, counts
//! them, and the next poll says how many. The lock is held to move a finished line, never while
//! text is made or a sink runs, so a sink may log. A line that repeats within [`WINDOW`] is shown
//! once and then counted: wrong credentials show as one line and "999 times more", not as a
//! thousand lines that push everything else out. Memory is bounded, whatever a store answers.
//!
//! **Trade-off.** Neither `log` nor `tracing`: their receivers belong to the process, which may
//! hold a Rust host with its own, or this library twice; and a C host could not drain them. What is
//! lost is the lines of our dependencies; what they fail at reaches the host as an error anyhow.

use crate::{clock::Clock, metrics::Metrics};
use parking_lot::{Mutex, MutexGuard, RecursiveRwLock, RecursiveRwLockWriteGuard};
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long a line that repeats is only counted.
pub const WINDOW: Duration = Duration::from_secs(30);

/// Lines that wait for a poll. With [`LONGEST_TEXT`] this is a few hundred KiB in practice.
const RING: usize = 1024;

/// Different lines whose repetitions are counted at one time; more than an outage brings.
const REMEMBERED: usize = 64;

/// Bytes of a message or of a field's value; a store may answer with a page of HTML.
const LONGEST_TEXT: usize = 1024;

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

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, in microseconds since 1970.
    pub time_us: i64,
    /// How severe.
    pub level: Level,
    /// The part of seglift that speaks: `store`, `writer`, `config`.
    pub target: &'static str,
    /// What happened.
    pub message: String,
    /// To what, by name. Those of a repetition are the latest ones.
    pub fields: Vec<(&'static str, String)>,
    /// 0 for a line by itself; else it stands for so many more like the one that was shown.
    pub repeats: u64,
    /// How many lines were lost just before this one; other than 0 only in the line that says so.
    pub lost: u64,
}

/// `warn store: access denied key=a/b … 999 times more`; the time is left to the host's own log.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.level, self.target, self.message)?;
        for (name, value) in &self.fields {
            match value.is_empty() || value.contains([' ', '"', '=']) {
                true => write!(f, " {name}={value:?}")?,
                false => write!(f, " {name}={value}")?,
            }
        }
        match self.repeats {
            0 => Ok(()),
            1 => f.write_str(" … once more"),
            more => write!(f, " … {more} times more"),
        }
    }
}

/// What takes the lines instead of the ring. It runs on the thread that logs, may be called from
/// several at once, and must neither block nor panic.
pub type Sink = Box<dyn Fn(&Line) + Send + Sync>;

/// A line that was shown and is now counted.
struct Recent {
    level: Level,
    target: &'static str,
    message: String,
    shown_at: Duration,
    /// How often it came again, and the fields of the last time.
    more: u64,
    fields: Vec<(&'static str, String)>,
}

#[derive(Default)]
struct State {
    ring: VecDeque<Line>,
    /// Lines given up since the last poll that said so.
    lost: u64,
    /// In the order of `shown_at`.
    recent: VecDeque<Recent>,
}

/// The log of one engine. Any thread may use it at any time.
pub struct Logger {
    /// 0 is off; else the number of the least severe level that is kept.
    threshold: AtomicU8,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Taken before `state` and held while the sink runs, so who changes it waits for its end; recursive, because a
    /// sink may log.
    sink: RecursiveRwLock<Option<Sink>>,
    state: Mutex<State>,
}

impl Logger {
    /// A log that keeps lines of `level` and more severe ones, or none.
    pub fn new(level: Option<Level>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let threshold = AtomicU8::new(level.map_or(0, |level| level as u8));
        Logger { threshold, clock, metrics, sink: RecursiveRwLock::new(None), state: Mutex::default() }
    }

    /// Whether a line of this level would be kept. Costs one load.
    pub fn is_enabled(&self, level: Level) -> bool {
        level as u8 <= self.threshold.load(Relaxed)
    }

    /// Changes what is kept from now on.
    pub fn set_level(&self, level: Option<Level>) {
        self.threshold.store(level.map_or(0, |level| level as u8), Relaxed);
    }

    /// Hands all lines to `sink` from now on, those that wait first; `None` is back to polling. When it
    /// returns, no call of the sink before it runs any more, so a sink must not call this.
    pub fn set_sink(&self, sink: Option<Sink>) {
        let time_us = self.clock.now_us();
        let mut current = self.sink.write();
        *current = sink;
        let current = RecursiveRwLockWriteGuard::downgrade(current);
        if let Some(sink) = &*current {
            let mut state = self.state.lock();
            let waiting: Vec<_> = std::iter::from_fn(|| state.pop(time_us)).collect();
            drop(state);
            waiting.iter().for_each(sink);
        }
    }

    /// Logs a line. What differs between repetitions of one event (a key, an attempt) belongs into
    /// `fields`, because lines with the same level, target and message count as the same.
    pub fn log(
        &self,
        level: Level,
        target: &'static str,
        message: impl fmt::Display,
        fields: &[(&'static str, &dyn fmt::Display)],
    ) {
        if !self.is_enabled(level) {
            return;
        }
        let message = bounded(message);
        let fields = fields.iter().map(|(name, value)| (*name, bounded(value))).collect();
        let (time_us, now) = (self.clock.now_us(), self.clock.monotonic());

        let sink = self.sink.read();
        let mut state = self.state.lock();
        let mut lines = state.take_over(now, time_us);
        let is_same = |r: &&mut Recent| r.level == level && r.target == target && r.message == message;
        if let Some(recent) = state.recent.iter_mut().find(is_same) {
            recent.more += 1;
            recent.fields = fields;
        } else {
            if state.recent.len() == REMEMBERED {
                lines.extend(state.recent.pop_front().and_then(|recent| recent.summary(time_us)));
            }
            let shown = message.clone();
            state.recent.push_back(Recent {
                level,
                target,
                message: shown,
                shown_at: now,
                more: 0,
                fields: Vec::new(),
            });
            lines.push(Line { time_us, level, target, message, fields, repeats: 0, lost: 0 });
        }
        self.keep_or_deliver(&sink, state, lines);
    }

    /// [`Logger::log`] at [`Level::Error`].
    pub fn error(
        &self,
        target: &'static str,
        message: impl fmt::Display,
        fields: &[(&'static str, &dyn fmt::Display)],
    ) {
        self.log(Level::Error, target, message, fields);
    }

    /// [`Logger::log`] at [`Level::Warn`].
    pub fn warn(
        &self,
        target: &'static str,
        message: impl fmt::Display,
        fields: &[(&'static str, &dyn fmt::Display)],
    ) {
        self.log(Level::Warn, target, message, fields);
    }

    /// [`Logger::log`] at [`Level::Info`].
    pub fn info(
        &self,
        target: &'static str,
        message: impl fmt::Display,
        fields: &[(&'static str, &dyn fmt::Display)],
    ) {
        self.log(Level::Info, target, message, fields);
    }

    /// [`Logger::log`] at [`Level::Debug`].
    pub fn debug(
        &self,
        target: &'static str,
        message: impl fmt::Display,
        fields: &[(&'static str, &dyn fmt::Display)],
    ) {
        self.log(Level::Debug, target, message, fields);
    }

    /// The oldest line that nobody has seen, if there is one. With a sink there is none, but what
    /// is to be said about repetitions reaches the sink even if nothing else is logged.
    pub fn poll(&self) -> Option<Line> {
        let (time_us, now) = (self.clock.now_us(), self.clock.monotonic());
        let sink = self.sink.read();
        let mut state = self.state.lock();
        let over = state.take_over(now, time_us);
        if let Some(sink) = &*sink {
            drop(state);
            over.iter().for_each(sink);
            return None;
        }
        self.metrics.log_lines_dropped.add(state.push(over));
        state.pop(time_us)
    }

    /// Ends all counting of repetitions now, so that nothing is left unsaid; for closing.
    pub fn flush(&self) {
        let time_us = self.clock.now_us();
        let sink = self.sink.read();
        let mut state = self.state.lock();
        let lines = state.recent.drain(..).filter_map(|recent| recent.summary(time_us)).collect();
        self.keep_or_deliver(&sink, state, lines);
    }

    fn keep_or_deliver(&self, sink: &Option<Sink>, mut state: MutexGuard<'_, State>, lines: Vec<Line>) {
        match sink {
            Some(sink) => {
                drop(state);
                lines.iter().for_each(sink);
            }
            None => self.metrics.log_lines_dropped.add(state.push(lines)),
        }
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

impl State {
    /// Forgets the lines whose window is over and returns what is to be said about them.
    fn take_over(&mut self, now: Duration, time_us: i64) -> Vec<Line> {
        let count =
            self.recent.iter().take_while(|recent| now.saturating_sub(recent.shown_at) >= WINDOW).count();
        self.recent.drain(..count).filter_map(|recent| recent.summary(time_us)).collect()
    }

    /// The next line of the ring, behind a word about those that it lost.
    fn pop(&mut self, time_us: i64) -> Option<Line> {
        match std::mem::take(&mut self.lost) {
            0 => self.ring.pop_front(),
            lost => Some(Line {
                time_us,
                level: Level::Warn,
                target: "logging",
                message: "lines were lost because the log was not drained in time".to_string(),
                fields: vec![("lines", lost.to_string())],
                repeats: 0,
                lost,
            }),
        }
    }

    /// Keeps `lines` and returns how many older ones had to go.
    fn push(&mut self, lines: Vec<Line>) -> u64 {
        self.ring.extend(lines);
        let lost = self.ring.len().saturating_sub(RING);
        self.ring.drain(..lost);
        self.lost += lost as u64;
        lost as u64
    }
}

impl Recent {
    fn summary(self, time_us: i64) -> Option<Line> {
        let Recent { level, target, message, more: repeats, fields, .. } = self;
        (repeats > 0).then_some(Line { time_us, level, target, message, fields, repeats, lost: 0 })
    }
}

/// The text, cut at a character's boundary if it is too long.
fn bounded(text: impl fmt::Display) -> String {
    let mut text = text.to_string();
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn logger(level: Level) -> (Arc<ManualClock>, Arc<Metrics>, Logger) {
        let (clock, metrics) = (Arc::new(ManualClock::at_us(1_000_000)), Arc::new(Metrics::new()));
        (clock.clone(), metrics.clone(), Logger::new(Some(level), clock, metrics))
    }

    fn drain(logger: &Logger) -> Vec<String> {
        std::iter::from_fn(|| logger.poll()).map(|line| line.to_string()).collect()
    }

    #[test]
    fn lines_come_out_in_order_with_their_fields() {
        let (_, _, logger) = logger(Level::Info);
        logger.info("driver", "opened", &[("uri", &"memory:"), ("drivers", &2)]);
        logger.warn("store", format_args!("slow {}", "down"), &[("reply", &"a b"), ("id", &"")]);
        assert_eq!(
            drain(&logger),
            ["info driver: opened uri=memory: drivers=2", r#"warn store: slow down reply="a b" id="""#]
        );
        assert_eq!(logger.poll(), None);
    }

    #[test]
    fn less_severe_lines_are_not_kept_and_not_even_formatted() {
        struct Loud;
        impl fmt::Display for Loud {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("formatted");
            }
        }
        let (_, _, logger) = logger(Level::Warn);
        logger.info("a", Loud, &[("b", &Loud)]);
        logger.set_level(None);
        logger.error("a", Loud, &[]);
        assert_eq!(logger.poll(), None);
        logger.set_level(Some(Level::Debug));
        logger.debug("a", "b", &[]);
        assert_eq!(drain(&logger), ["debug a: b"]);
    }

    #[test]
    fn a_line_that_repeats_shows_once_and_is_then_counted() {
        let (clock, _, logger) = logger(Level::Info);
        for n in 0..1000 {
            logger.error("store", "wrong credentials", &[("attempt", &n)]);
        }
        assert_eq!(drain(&logger), ["error store: wrong credentials attempt=0"]);
        clock.advance(WINDOW);
        assert_eq!(drain(&logger), ["error store: wrong credentials attempt=999 … 999 times more"]);
        logger.error("store", "wrong credentials", &[("attempt", &1000)]);
        clock.advance(WINDOW);
        assert_eq!(drain(&logger), ["error store: wrong credentials attempt=1000"]);
    }

    #[test]
    fn a_wall_clock_that_jumps_does_not_end_the_window() {
        let (clock, _, logger) = logger(Level::Info);
        logger.warn("a", "b", &[]);
        clock.set_us(i64::MAX);
        logger.warn("a", "b", &[]);
        assert_eq!(drain(&logger).len(), 1);
    }

    #[test]
    fn flush_leaves_no_repetition_unsaid() {
        let (_, _, logger) = logger(Level::Info);
        logger.warn("a", "b", &[]);
        logger.warn("a", "b", &[]);
        logger.flush();
        assert_eq!(drain(&logger), ["warn a: b", "warn a: b … once more"]);
    }

    #[test]
    fn more_different_lines_than_are_remembered_lose_no_count() {
        let (_, _, logger) = logger(Level::Info);
        logger.warn("a", "first", &[]);
        logger.warn("a", "first", &[]);
        for n in 0..REMEMBERED {
            logger.warn("a", format_args!("other {n}"), &[]);
        }
        assert!(drain(&logger).contains(&"warn a: first … once more".to_string()));
    }

    #[test]
    fn a_full_ring_gives_up_its_oldest_lines_and_says_how_many() {
        let (_, metrics, logger) = logger(Level::Info);
        for n in 0..RING + 7 {
            logger.info("a", n, &[]);
        }
        let lines = drain(&logger);
        assert_eq!(lines[0], "warn logging: lines were lost because the log was not drained in time lines=7");
        assert_eq!((lines[1].as_str(), lines.len()), ("info a: 7", RING + 1));
        assert_eq!(metrics.log_lines_dropped.value(), 7);
    }

    #[test]
    fn a_sink_gets_all_lines_those_that_waited_too_and_may_log_itself() {
        let (clock, _, logger) = logger(Level::Info);
        let logger = Arc::new(logger);
        let seen = Arc::new(Mutex::new(Vec::new()));
        logger.info("a", "before", &[]);
        let (into, inner) = (seen.clone(), Arc::downgrade(&logger));
        let sink = move |line: &Line| {
            into.lock().push(line.to_string());
            if let Some(logger) = inner.upgrade()
                && (line.message.as_str(), line.repeats) == ("after", 0)
            {
                logger.info("a", "from the sink", &[]);
            }
        };
        logger.set_sink(Some(Box::new(sink)));
        logger.info("a", "after", &[]);
        logger.info("a", "after", &[]);
        clock.advance(WINDOW);
        assert_eq!(logger.poll(), None);
        assert_eq!(
            *seen.lock(),
            ["info a: before", "info a: after", "info a: from the sink", "info a: after … once more"]
        );
    }

    #[test]
    fn without_its_sink_a_log_is_polled_again() {
        let (_, _, logger) = logger(Level::Info);
        logger.set_sink(Some(Box::new(|line| assert_eq!(line.message, "to the sink"))));
        logger.info("a", "to the sink", &[]);
        logger.set_sink(None);
        logger.info("a", "to the ring", &[]);
        assert_eq!(drain(&logger), ["info a: to the ring"]);
    }

    #[test]
    fn a_page_of_html_is_cut_at_a_character() {
        let (_, _, logger) = logger(Level::Info);
        logger.info("a", "ä".repeat(LONGEST_TEXT), &[("reply", &"x".repeat(LONGEST_TEXT + 1))]);
        let line = logger.poll().unwrap();
        assert_eq!(line.message.chars().count(), LONGEST_TEXT / 2 + 1);
        assert!(line.message.ends_with('…') && line.fields[0].1.ends_with('…'));
    }
}
