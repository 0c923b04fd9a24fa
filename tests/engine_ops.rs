//! What an operation promises: it ends once, in time, and says where it stood.

use seglift::buf::LentBuf;
use seglift::engine::{Call, Cancel, Class, Defaults, Engine, EngineOptions, Op, OpKind, Queue, Scope};
use seglift::{Code, Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

fn engine() -> Engine {
    Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap()
}

fn start(engine: &Engine, kind: OpKind, deadline: Option<Duration>, stall: Option<Duration>) -> Op {
    engine.start(kind, "topic/segment-7", &Call::default(), Defaults { deadline, stall }).unwrap()
}

fn read(engine: &Engine) -> Op {
    start(engine, OpKind::Read, Some(20_000 * MS), None)
}

async fn for_ever(op: Op) -> Result<()> {
    op.guard(std::future::pending()).await
}

#[test]
fn a_result_comes_back_and_the_operation_is_forgotten() {
    let engine = engine();
    let op = read(&engine);
    assert_ne!(op.id(), 0);
    assert_eq!((engine.running(), engine.progress(op.id()).unwrap().queued), (1, true));
    assert_eq!(engine.block_on(&op, async { Ok(7) }).unwrap(), 7);
    assert_eq!((engine.running(), engine.progress(op.id())), (0, None));
    assert!(engine.knew(op.id()) && !engine.knew(op.id() + 1) && !engine.knew(0));
    assert!(engine.metrics_text().contains(r#"seglift_operations_total{op="read",result="OK"} 1"#));
}

#[test]
fn a_panic_ends_the_operation_with_its_words_and_its_stage() {
    let engine = engine();
    let op = read(&engine);
    let o = op.clone();
    let run = async move {
        o.stage(format!("part {}", 3));
        if o.id() != 0 {
            panic!("the index is {}", "odd");
        }
        Ok(())
    };
    let e = engine.block_on(&op, run).unwrap_err();
    assert_eq!(e.code(), Code::Internal);
    for part in ["read of topic/segment-7", "the index is odd", "\"part 3\""] {
        assert!(e.message().contains(part), "{e}");
    }
    assert_eq!(engine.running(), 0);
    assert!(engine.block_on(&read(&engine), async { Ok(()) }).is_ok(), "the engine goes on");
}

#[test]
fn what_is_cut_off_after_the_commit_was_sent_is_unknown_and_never_not_committed() {
    let engine = engine();
    let op = start(&engine, OpKind::Offload, Some(20_000 * MS), None);
    let o = op.clone();
    let run = async move {
        o.commit_sent();
        if o.id() != 0 {
            panic!("late");
        }
        Ok(())
    };
    let e = engine.block_on(&op, run).unwrap_err();
    assert_eq!(e.code(), Code::OutcomeUnknown);
    assert!(e.message().contains("repeat"), "{e}");
}

#[test]
fn a_deadline_ends_what_runs_and_names_the_stage() {
    let engine = engine();
    let op = start(&engine, OpKind::Read, Some(40 * MS), None);
    op.stage("fetch blocks 3 to 9");
    op.set_total(100);
    op.progress(30);
    let since = Instant::now();
    let e = engine.block_on(&op, for_ever(op.clone())).unwrap_err();
    assert_eq!(e.code(), Code::TimedOut);
    for part in ["fetch blocks 3 to 9", "40ms", "30 of 100 bytes"] {
        assert!(e.message().contains(part), "{e}");
    }
    assert!((40 * MS..2_000 * MS).contains(&since.elapsed()));
    assert_eq!(op.remaining(), Duration::ZERO);
}

#[test]
fn the_callers_limits_go_before_the_settings() {
    let engine = engine();
    let call = Call { deadline: Some(30 * MS), ..Call::default() };
    let defaults = Defaults { deadline: Some(60_000 * MS), stall: None };
    let op = engine.start(OpKind::Read, "k", &call, defaults).unwrap();
    assert_eq!(engine.block_on(&op, for_ever(op.clone())).unwrap_err().code(), Code::TimedOut);
    let call = Call { deadline: Some(Duration::MAX), ..Call::default() };
    let op = engine.start(OpKind::Read, "k", &call, defaults).unwrap();
    assert_eq!((op.deadline(), op.remaining()), (None, Duration::MAX), "beyond the clock is no limit");
}

#[test]
fn an_offload_that_moves_no_byte_is_ended_and_says_where() {
    let engine = engine();
    let op = start(&engine, OpKind::Offload, Some(20_000 * MS), Some(60 * MS));
    let o = op.clone();
    let run = async move {
        o.stage("part 3");
        let sending = async {
            // Moves on for longer than the limit, then stalls.
            for _ in 0..8 {
                tokio::time::sleep(15 * MS).await;
                o.progress(10);
            }
            std::future::pending().await
        };
        o.guard(sending).await
    };
    let since = Instant::now();
    let e: Error = engine.block_on::<()>(&op, run).unwrap_err();
    assert!(since.elapsed() >= 175 * MS, "ended while bytes moved: {:?}", since.elapsed());
    assert_eq!(e.code(), Code::TimedOut);
    for part in ["offload of topic/segment-7", "no byte moved for 60ms", "\"part 3\"", "80 bytes"] {
        assert!(e.message().contains(part), "{e}");
    }
}

#[test]
fn a_host_that_pauses_between_two_calls_does_not_stall_its_writer() {
    let engine = engine();
    let op = start(&engine, OpKind::Writer, None, Some(80 * MS));
    std::thread::sleep(150 * MS);
    let o = op.clone();
    let run = async move {
        let sending = async {
            tokio::time::sleep(20 * MS).await;
            Ok(())
        };
        o.guard(sending).await
    };
    engine.block_on(&op, run).unwrap();
}

#[test]
fn waiting_in_line_is_no_stall() {
    let engine = engine();
    let op = start(&engine, OpKind::Offload, Some(150 * MS), Some(20 * MS));
    let o = op.clone();
    let e =
        engine.block_on::<()>(&op, async move { o.guard_waiting(std::future::pending()).await }).unwrap_err();
    assert!(e.message().contains("deadline"), "{e}");
}

#[test]
fn one_token_stops_many_calls_from_another_thread() {
    let engine = engine();
    let token = Cancel::new();
    let call = Call { cancel: Some(token.clone()), ..Call::default() };
    let ends: Vec<_> = (0..20)
        .map(|_| {
            let op = engine.start(OpKind::Read, "k", &call, Defaults::default()).unwrap();
            let (tell, told) = mpsc::channel();
            engine.spawn_with(op.clone(), for_ever(op), move |r| tell.send(r).unwrap());
            told
        })
        .collect();
    std::thread::spawn(move || token.cancel()).join().unwrap();
    for end in ends {
        assert_eq!(end.recv_timeout(5_000 * MS).unwrap().unwrap_err().code(), Code::Cancelled);
    }
    let late = engine.start(OpKind::Read, "k", &call, Defaults::default()).unwrap();
    assert_eq!(engine.block_on(&late, for_ever(late.clone())).unwrap_err().code(), Code::Cancelled);
}

#[test]
fn an_operation_can_be_stopped_by_its_number() {
    let engine = engine();
    let op = read(&engine);
    let (id, other) = (op.id(), engine.clone());
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(20 * MS);
        assert!(other.cancel(id));
    });
    assert_eq!(engine.block_on(&op, for_ever(op.clone())).unwrap_err().code(), Code::Cancelled);
    stopper.join().unwrap();
    assert!(!engine.cancel(id), "it is over");
}

#[test]
fn settling_a_commit_heeds_the_deadline_and_no_cancel() {
    let engine = engine();
    let op = start(&engine, OpKind::Offload, Some(20_000 * MS), Some(5 * MS));
    op.cancel();
    assert_eq!(op.check().unwrap_err().code(), Code::Cancelled);
    let o = op.clone();
    let run = async move {
        let settled = async {
            tokio::time::sleep(40 * MS).await;
            Ok("there")
        };
        o.guard_deadline_only(settled).await
    };
    assert_eq!(engine.block_on(&op, run).unwrap(), "there");
    let op = start(&engine, OpKind::Offload, Some(20 * MS), None);
    let o = op.clone();
    let run = async move { o.guard_deadline_only(std::future::pending::<Result<()>>()).await };
    assert_eq!(engine.block_on(&op, run).unwrap_err().code(), Code::TimedOut);
}

#[test]
fn what_forgets_its_deadline_is_dropped_all_the_same() {
    let engine = engine();
    let op = start(&engine, OpKind::Stat, Some(10 * MS), None);
    let e = engine.block_on(&op, std::future::pending::<Result<()>>()).unwrap_err();
    assert_eq!(e.code(), Code::TimedOut);
    let op = start(&engine, OpKind::Offload, Some(10 * MS), None);
    op.commit_sent();
    let e = engine.block_on(&op, std::future::pending::<Result<()>>()).unwrap_err();
    assert_eq!(e.code(), Code::OutcomeUnknown);
}

/// Notes when it is dropped.
struct Noted(Arc<AtomicBool>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn buffers_are_given_back_after_the_work_is_gone_and_before_the_result_is_delivered() {
    let engine = engine();
    for panics in [false, true] {
        let op = read(&engine);
        let buf = LentBuf::owned(64).unwrap();
        let gone = Arc::new(AtomicBool::new(false));
        let (seen, noted, lent) = (gone.clone(), Noted(gone.clone()), buf.clone());
        op.on_finish(|| panic!("a finalizer that fails"));
        op.on_finish(move || {
            assert!(seen.load(SeqCst), "the future was still there");
            lent.revoke();
        });
        let revoked = buf.clone();
        let (tell, told) = mpsc::channel();
        let mut range = buf.whole().unwrap();
        let run = async move {
            let _noted = noted;
            range.write(0, b"x")?;
            assert!(!panics, "as told");
            Ok(())
        };
        engine.spawn_with(op.clone(), run, move |r| tell.send((r.is_ok(), revoked.is_revoked())).unwrap());
        assert_eq!(told.recv_timeout(5_000 * MS).unwrap(), (!panics, true));
        let late = Arc::new(AtomicBool::new(false));
        let l = late.clone();
        op.on_finish(move || l.store(true, SeqCst));
        assert!(late.load(SeqCst), "a finalizer that comes too late runs at once");
    }
}

#[test]
fn an_operation_that_nobody_runs_is_forgotten_with_its_last_handle() {
    let engine = engine();
    let op = read(&engine);
    let finalized = Arc::new(AtomicBool::new(false));
    let f = finalized.clone();
    op.on_finish(move || f.store(true, SeqCst));
    assert_eq!(engine.running(), 1);
    drop(op);
    assert_eq!((engine.running(), finalized.load(SeqCst)), (0, true));
}

#[test]
fn a_waiting_call_on_one_of_our_own_threads_is_refused_instead_of_hanging() {
    let engine = engine();
    let inner = engine.clone();
    let run = async move {
        let op = read(&inner);
        let refused = inner.block_on(&op, async { Ok(()) }).unwrap_err();
        assert_eq!(inner.progress(op.id()), None);
        Ok(refused)
    };
    let refused = engine.block_on(&read(&engine), run).unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("another thread"), "{refused}");
}

#[test]
fn a_host_may_wait_on_a_thread_of_its_own_runtime() {
    let engine = engine();
    let host = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let e = engine.clone();
    let task = host.spawn(async move {
        let op = read(&e);
        e.block_on(&op, async {
            tokio::time::sleep(5 * MS).await;
            Ok(3)
        })
    });
    assert_eq!(host.block_on(task).unwrap().unwrap(), 3);
}

#[test]
fn guards_need_no_runtime_of_the_one_who_polls_them() {
    let engine = engine();
    let op = start(&engine, OpKind::Read, Some(30 * MS), None);
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    let mut guarded = std::pin::pin!(op.guard(std::future::pending::<Result<()>>()));
    let result = loop {
        match std::future::Future::poll(guarded.as_mut(), &mut context) {
            std::task::Poll::Ready(result) => break result,
            std::task::Poll::Pending => std::thread::park_timeout(5_000 * MS),
        }
    };
    assert_eq!(result.unwrap_err().code(), Code::TimedOut);
}

struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn the_last_handle_may_be_dropped_while_something_runs_and_it_still_ends() {
    let engine = engine();
    let queue = Queue::new(4).unwrap();
    let op = start(&engine, OpKind::Read, Some(20_000 * MS), None);
    let o = op.clone();
    let run = async move {
        o.guard(async {
            tokio::time::sleep(50 * MS).await;
            Ok(5)
        })
        .await
    };
    engine.spawn(op, queue.reserve(1).unwrap(), run);
    let since = Instant::now();
    // The operation now holds the engine, and lets go of it on one of the engine's own threads.
    drop(engine);
    assert!(since.elapsed() < 40 * MS, "dropping waited");
    let mut done = queue.poll(4, Some(5_000 * MS)).unwrap();
    assert!(matches!(done.pop().unwrap().event, seglift::engine::Event::Done { result: Ok(5), .. }));
}

#[test]
fn our_threads_have_names_and_leave_the_hosts_signals_alone() {
    let engine = engine();
    let look = || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).unwrap().trim().to_owned();
        (line("Name:"), u64::from_str_radix(&line("SigBlk:"), 16).unwrap())
    };
    let (_, mine) = look();
    let worker = engine.block_on(&read(&engine), async move { Ok(look()) }).unwrap();
    let blocking = engine.block_on(&read(&engine), async move {
        tokio::task::spawn_blocking(look).await.map_err(|e| Error::new(Code::Internal, e.to_string()))
    });
    let bit = |signal: i32| 1_u64 << (signal - 1);
    for (name, blocked) in [worker, blocking.unwrap()] {
        assert!(name.starts_with("seglift-"), "{name}");
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGCHLD, libc::SIGPROF]
        {
            assert_ne!(blocked & bit(signal), 0, "signal {signal} would run on {name}");
        }
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            assert_eq!(
                blocked & bit(fault),
                0,
                "the host's crash report would miss signal {fault} on {name}"
            );
        }
    }
    assert_eq!(look().1, mine, "the caller's mask is as it was");
}

#[test]
fn the_status_tells_what_runs_and_what_failed() {
    let engine = engine();
    let op = start(&engine, OpKind::Offload, Some(60_000 * MS), None);
    op.stage("part 3");
    op.set_total(1000);
    op.progress(250);
    let failing = engine.start(OpKind::Stat, "lost \"key\"", &Call::default(), Defaults::default()).unwrap();
    let missing = async { Err::<(), _>(Error::new(Code::NotFound, "there is no such object")) };
    engine.block_on(&failing, missing).unwrap_err();
    let held = engine.budget().try_reserve(Class::Upload, 4096).unwrap();
    let json: serde_json::Value = serde_json::from_str(&engine.status_json()).unwrap();
    let running = &json["running"][0];
    assert_eq!((running["id"].as_u64(), running["kind"].as_str()), (Some(op.id()), Some("offload")));
    assert_eq!(
        (running["stage"].as_str(), running["what"].as_str()),
        (Some("part 3"), Some("topic/segment-7"))
    );
    assert_eq!((running["bytes_done"].as_u64(), running["bytes_total"].as_u64()), (Some(250), Some(1000)));
    assert!(running["bytes_per_s_now"].as_u64() > Some(0), "{running}");
    assert!(running["deadline_left_s"].as_f64().unwrap() > 50.0);
    let failed = &json["failed"][0];
    assert_eq!((failed["code"].as_str(), failed["what"].as_str()), (Some("NOT_FOUND"), Some("lost \"key\"")));
    assert_eq!(json["pid"].as_u64(), Some(u64::from(std::process::id())));
    assert_eq!(json["budget"]["uploads"].as_u64(), Some(4096));
    let offload = start(&engine, OpKind::Offload, None, None);
    engine.block_on(&offload, async { Err::<(), _>(Error::new(Code::NoSpace, "full")) }).unwrap_err();
    for _ in 0..200 {
        let op = engine.start(OpKind::Stat, "again", &Call::default(), Defaults::default()).unwrap();
        engine.block_on(&op, async { Err::<(), _>(Error::new(Code::NotFound, "no")) }).unwrap_err();
    }
    let status = engine.status();
    assert_eq!((status.failed.len(), status.failed_total), (129, 202), "a bounded memory of failures");
    let [first, .., last] = &status.failed[..] else { panic!("none failed") };
    assert_eq!((first.id, first.kind), (offload.id(), "offload"), "looks pushed out what somebody waits for");
    assert_eq!(last.what, "again", "the oldest first");
    drop(held);
}

#[test]
fn closing_a_scope_ends_its_operations_and_no_others() {
    let engine = engine();
    let (scope, other) = (Scope::new("the driver of memory:"), Scope::new("another"));
    let queue = Queue::new(8).unwrap();
    for (user_data, scope) in [(0, &scope), (1, &scope), (2, &other)] {
        let op = read(&engine);
        scope.enter(&op).unwrap();
        engine.spawn(op.clone(), queue.reserve(user_data).unwrap(), for_ever(op));
    }
    assert_eq!((scope.running(), other.running()), (2, 1));
    scope.close(5_000 * MS).unwrap();
    scope.close(5_000 * MS).unwrap();
    assert_eq!((scope.running(), other.running()), (0, 1));
    let e = scope.enter(&read(&engine)).unwrap_err();
    assert_eq!(e.code(), Code::Closed);
    assert!(e.message().contains("the driver of memory:"), "{e}");
    let mut ended: Vec<_> = queue.poll(8, Some(5_000 * MS)).unwrap().iter().map(|c| c.user_data).collect();
    if ended.len() == 1 {
        ended.extend(queue.poll(8, Some(5_000 * MS)).unwrap().iter().map(|c| c.user_data));
    }
    ended.sort_unstable();
    assert_eq!(ended, [0, 1]);

    let stubborn = read(&engine);
    other.enter(&stubborn).unwrap();
    assert_eq!(other.close(20 * MS).unwrap_err().code(), Code::TimedOut);
    drop(stubborn);
    other.close(5_000 * MS).unwrap();
}

#[test]
fn what_others_keep_for_each_engine_is_made_once() {
    let engine = engine();
    let made = AtomicUsize::new(0);
    let get = || engine.extension(|_| Mutexed(made.fetch_add(1, SeqCst)));
    assert!(Arc::ptr_eq(&get(), &get()));
    assert_eq!((get().0, made.load(SeqCst)), (0, 1));
}

struct Mutexed(usize);

#[test]
fn options_out_of_range_are_refused_by_the_name_of_their_setting() {
    let refused = |options| Engine::new(options).unwrap_err();
    let e = refused(EngineOptions { threads: 0, ..EngineOptions::default() });
    assert_eq!(e.code(), Code::InvalidConfig);
    assert!(e.message().contains("engine.threads"), "{e}");
    let e = refused(EngineOptions { memory_budget: 1 << 20, ..EngineOptions::default() });
    assert!(e.message().contains("memory.budget"), "{e}");
}

#[test]
fn ten_thousand_operations_stopped_at_random_complete_once_each() {
    let engine = engine();
    let queue = Queue::new(10_000).unwrap();
    let mut ids = Vec::new();
    let mut x = 88_172_645_463_325_252_u64;
    for user_data in 0..10_000_usize {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let (how, op) = (x % 5, read(&engine));
        ids.push(op.id());
        let o = op.clone();
        let run = async move {
            let work = async {
                match how {
                    0 => {}
                    1 => tokio::task::yield_now().await,
                    2 => tokio::time::sleep(MS).await,
                    3 => std::future::pending().await,
                    _ => std::panic::resume_unwind(Box::new("a defect")),
                }
                Ok(user_data)
            };
            o.guard(work).await
        };
        engine.spawn(op, queue.reserve(user_data).unwrap(), run);
        if user_data % 3 == 0 {
            let at = x as usize % ids.len();
            engine.cancel(ids[at]);
        }
    }
    assert_eq!(queue.reserve(0).unwrap_err().code(), Code::Busy);
    let stop = engine.clone();
    let stopper = std::thread::spawn(move || ids.iter().filter(|id| stop.cancel(**id)).count());
    let mut seen = vec![0; 10_000];
    while seen.contains(&0) {
        let polled = queue.poll(512, Some(10_000 * MS)).unwrap();
        assert!(!polled.is_empty(), "some operation never ended");
        polled.iter().for_each(|c| seen[c.user_data] += 1);
    }
    assert!(stopper.join().unwrap() > 0);
    assert!(seen.iter().all(|&n| n == 1));
    assert!(queue.poll(1, Some(20 * MS)).unwrap().is_empty());
    assert_eq!((queue.in_flight(), engine.running()), (0, 0));
}
