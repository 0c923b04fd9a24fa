//! Places where a process can be stopped for good, so that a test can kill it there (feature `testing` only).
//!
//! Purpose: "killed between the link and the fsync of the folder" as something that a test reaches every time, and
//! knows that it has: `SEGLIFT_PAUSE=point:/path/of/marker` stops whoever comes to that point, and `point#3:…` the
//! third to come. The marker is a file with the point's name on a line of its own; it is whole as soon as it is there.
//! `SEGLIFT_PAUSE=list:/path` stops nobody and writes all points there, with the kind of store that has each, when the
//! first of them is met: so that a test of all points learns of a new one.
//!
//! Invariant: without the feature a mark is no code at all. The marks are macros that expand to nothing there, and this
//! file is not compiled, so neither a name nor a branch can be left; `make dist` looks for them all the same.
//!
//! Trade-off: who is stopped stays so, while all others go on: it is a test's task to kill the process soon, before a
//! stall limit ends the operation.

/// Stops here if the environment says so: `pause!(BeginBefore);` in a task, `pause!(thread FileSynced);` where a thread
/// may block.
macro_rules! pause {
    (thread $point:ident) => {
        #[cfg(feature = "testing")]
        $crate::pause::stop_thread($crate::pause::Point::$point);
    };
    ($point:ident) => {
        #[cfg(feature = "testing")]
        $crate::pause::stop($crate::pause::Point::$point).await;
    };
}

/// A stream that stops behind its first two pieces: `pause_within!(PartInside, stream)`.
macro_rules! pause_within {
    ($point:ident, $stream:expr) => {{
        #[cfg(feature = "testing")]
        let stream = $crate::pause::within($crate::pause::Point::$point, $stream);
        #[cfg(not(feature = "testing"))]
        let stream = $stream;
        stream
    }};
}

/// A request that stops once it has gone out, whatever has come back: `pause_during!(CommitInside, handed.get(), sent)`.
macro_rules! pause_during {
    ($point:ident, $begun:expr, $request:expr) => {{
        #[cfg(feature = "testing")]
        let request = $crate::pause::during($crate::pause::Point::$point, || $begun, $request);
        #[cfg(not(feature = "testing"))]
        let request = $request;
        request
    }};
}

#[cfg(feature = "testing")]
pub(crate) use points::{Point, during, stop, stop_thread, within};

#[cfg(feature = "testing")]
mod points {
    use futures_util::{Stream, StreamExt};
    use std::{
        fs, future,
        future::Future,
        path::{Path, PathBuf},
        sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
        task::Poll,
        thread,
        time::Duration,
    };

    /// How often a request is asked whether it has gone out. The answer of a store on this machine takes longer.
    const TICK: Duration = Duration::from_micros(200);

    /// How many pieces of a body go out. An S3 request keeps one back, so two are needed for one to be on the wire.
    const BEHIND: usize = 2;

    macro_rules! points {
        ($($point:ident = $name:literal on $stores:literal: $what:literal;)*) => {
            /// A place where a process can be stopped.
            #[derive(Clone, Copy, PartialEq, Eq)]
            pub(crate) enum Point {
                $(#[doc = $what] $point,)*
            }

            /// Each point, its name, and the stores that have it: `every`, `file` or `s3`.
            const POINTS: &[(Point, &str, &str)] = &[$((Point::$point, $name, $stores),)*];
        };
    }

    points! {
        BeginBefore = "begin.before" on "every": "An upload in parts is about to begin.";
        BeginAfter = "begin.after" on "every": "It has begun, and no part was sent.";
        PartInside = "part.inside" on "every": "The first bytes of a part are on their way, and the rest never comes.";
        PartsBetween = "parts.between" on "every": "A part is at the store; others are on their way or to come.";
        PartsLast = "parts.last" on "every": "All parts are at the store.";
        CommitBefore = "commit.before" on "every": "The commit of an upload in parts is about to be sent.";
        CommitInside = "commit.inside" on "s3": "It was sent, and its answer is not read.";
        CommitAfter = "commit.after" on "every": "Its answer is here, and nobody was told.";
        PutBefore = "put.before" on "every": "An object in one request is about to be sent.";
        PutInside = "put.inside" on "every": "The first bytes of it are on their way, and the rest never comes.";
        PutAfter = "put.after" on "every": "The answer is here, and nobody was told.";
        FileSynced = "file.synced" on "file": "The file is durable and has only its temporary name.";
        FileLinked = "file.linked" on "file": "It has its name as well, and no folder is durable.";
        FileUnlinked = "file.unlinked" on "file": "It has only its name, and no folder is durable.";
        AbortBefore = "abort.before" on "every": "An upload that failed is about to be aborted.";
        AbortAfter = "abort.after" on "every": "It is aborted, and nobody was told.";
        DeleteBefore = "delete.before" on "every": "Objects are about to be deleted.";
        DeleteInside = "delete.inside" on "file": "The first name is gone, and no folder durable.";
        DeleteAfter = "delete.after" on "every": "They are deleted, and nobody was told.";
        ReapClock = "reap.clock" on "file": "A file was made to learn the store's time, and is there.";
        ReapBeforeAbort = "reap.before.abort" on "every": "Reap is about to abort an upload.";
        ReapAfterAbort = "reap.after.abort" on "every": "It is aborted, and not reported.";
        SweepBeforeDelete = "sweep.before.delete" on "every": "Sweep is about to delete an object.";
        SweepAfterDelete = "sweep.after.delete" on "every": "It is deleted, and not reported.";
        ProbeInside = "probe.inside" on "s3": "The object that asks what a store can do is there.";
    }

    /// What the environment asks for.
    enum Asked {
        Nothing,
        Stop { point: Point, name: &'static str, countdown: AtomicU64, marker: PathBuf },
    }

    static ASKED: LazyLock<Asked> = LazyLock::new(|| {
        let Ok(text) = std::env::var("SEGLIFT_PAUSE") else { return Asked::Nothing };
        // A test that misspells a point must not wait for it: the panic makes every operation INTERNAL.
        let wrong =
            || -> ! { panic!("SEGLIFT_PAUSE={text} is not POINT[#N]:PATH with a point of this build") };
        let Some((what, path)) = text.split_once(':') else { wrong() };
        if what == "list" {
            let lines = POINTS.iter().map(|(_, name, stores)| format!("{name} {stores}\n"));
            appear(Path::new(path), &lines.collect::<String>());
            return Asked::Nothing;
        }
        let (name, n) = what.split_once('#').unwrap_or((what, "1"));
        let found = POINTS.iter().find(|(_, known, _)| *known == name);
        let (Some(&(point, name, _)), Ok(n @ 1..)) = (found, n.parse()) else { wrong() };
        Asked::Stop { point, name, countdown: AtomicU64::new(n), marker: path.into() }
    });

    /// Makes a file that is whole as soon as it has its name.
    fn appear(path: &Path, text: &str) {
        let unfinished = path.with_extension("unfinished");
        let made = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, path));
        made.unwrap_or_else(|e| panic!("SEGLIFT_PAUSE: {} cannot be written: {e}", path.display()));
    }

    fn is_asked(at: Point) -> bool {
        matches!(&*ASKED, Asked::Stop { point, .. } if *point == at)
    }

    /// Whether this one is to be stopped; then the marker is there.
    fn arrives(at: Point) -> bool {
        match &*ASKED {
            Asked::Stop { point, name, countdown, marker } if *point == at => {
                let last = countdown.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) == Ok(1);
                if last {
                    appear(marker, &format!("{name}\n"));
                }
                last
            }
            _ => false,
        }
    }

    /// Stops the task; its thread goes on with others.
    pub(crate) async fn stop(at: Point) {
        if arrives(at) {
            future::pending::<()>().await;
        }
    }

    /// Stops the thread.
    pub(crate) fn stop_thread(at: Point) {
        if arrives(at) {
            loop {
                thread::park();
            }
        }
    }

    /// Stops whoever asks for the third piece of the stream.
    pub(crate) fn within<S: Stream>(at: Point, stream: S) -> impl Stream<Item = S::Item> {
        stream.enumerate().then(move |(i, piece)| async move {
            if i == BEHIND {
                stop(at).await;
            }
            piece
        })
    }

    /// Stops whoever waits for the request, once it has `begun`. What was sent goes on.
    pub(crate) async fn during<T>(
        at: Point,
        begun: impl Fn() -> bool,
        request: impl Future<Output = T>,
    ) -> T {
        let (mut watches, mut stopped) = (is_asked(at), false);
        // Only to be asked again: that a request went out wakes nobody.
        let mut tick = tokio::time::interval(TICK);
        tokio::pin!(request);
        future::poll_fn(|cx| {
            if watches && begun() {
                (watches, stopped) = (false, arrives(at));
            }
            while watches && tick.poll_tick(cx).is_ready() {}
            // Not even an answer that is here already goes on.
            if stopped { Poll::Pending } else { request.as_mut().poll(cx) }
        })
        .await
    }
}
