//! What is left of an engine after `fork`: nothing, said clearly; and a fresh one works.

use seglift::Code;
use seglift::engine::{Call, Defaults, Engine, EngineOptions, OpKind, Queue, Scope, fork};
use std::time::Duration;

/// Forks, lets the child run `f` for at most ten seconds, and returns its exit status.
fn in_a_child(f: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs `f`, whose allocations glibc allows after a fork, and leaves by `_exit`.
    unsafe {
        match libc::fork() {
            0 => {
                libc::alarm(10);
                let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(99);
                libc::_exit(status)
            }
            child => {
                assert!(child > 0, "no process left");
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &mut status, 0), child);
                assert!(libc::WIFEXITED(status), "the child hung or crashed: {status:#x}");
                libc::WEXITSTATUS(status)
            }
        }
    }
}

#[test]
fn after_a_fork_inherited_handles_are_refused_forgotten_and_replaced() {
    let engine = Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
    let queue = Queue::<()>::new(4).unwrap();
    let scope = Scope::new("the driver");
    let slot = queue.reserve(1).unwrap();
    let op = engine.start(OpKind::Read, "k", &Call::default(), Defaults::default()).unwrap();
    let default = Engine::default_engine().unwrap();
    let home = fork::generation();
    engine.spawn_detached(None, std::future::pending());

    let status = in_a_child(|| {
        let forked = |code: Option<Code>| code == Some(Code::Forked);
        let checks = [
            forked(engine.check_fork().err().map(|e| e.code())),
            forked(fork::check(home).err().map(|e| e.code())),
            forked(
                engine
                    .start(OpKind::Read, "k", &Call::default(), Defaults::default())
                    .err()
                    .map(|e| e.code()),
            ),
            forked(engine.block_on(&op, async { Ok(()) }).err().map(|e| e.code())),
            forked(queue.reserve(2).err().map(|e| e.code())),
            forked(queue.poll(1, None).err().map(|e| e.code())),
            forked(queue.fd().err().map(|e| e.code())),
            forked(queue.shutdown(Duration::from_secs(60)).err().map(|e| e.code())),
            forked(scope.enter(&op).err().map(|e| e.code())),
            forked(scope.close(Duration::from_secs(60)).err().map(|e| e.code())),
            forked(default.check_fork().err().map(|e| e.code())),
        ];
        if let Some(broken) = checks.iter().position(|ok| !ok) {
            return 10 + broken as i32;
        }
        // A fresh default engine works here.
        let fresh = Engine::default_engine().unwrap();
        let op = fresh.start(OpKind::Read, "k", &Call::default(), Defaults::default()).unwrap();
        let answer = fresh.block_on(&op, async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(42)
        });
        if answer.unwrap() != 42 {
            return 2;
        }
        // Dropping what was inherited neither waits nor ends anything of the parent.
        drop((op, fresh));
        drop((engine.clone(), default.clone()));
        0
    });
    assert_eq!(status, 0);

    // The parent goes on as if nothing had happened.
    engine.check_fork().unwrap();
    assert_eq!(engine.block_on(&op, async { Ok(1) }).unwrap(), 1);
    slot.complete(Ok(()));
    assert_eq!(queue.poll(1, None).unwrap().len(), 1);
}

#[test]
fn the_last_handle_of_an_inherited_engine_is_dropped_without_waiting() {
    let engine = Engine::new(EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap();
    let mut engine = Some(engine);
    assert_eq!(
        in_a_child(|| {
            drop(engine.take());
            i32::from(engine.is_some())
        }),
        0
    );
    let engine = engine.unwrap();
    let op = engine.start(OpKind::Read, "k", &Call::default(), Defaults::default()).unwrap();
    assert_eq!(engine.block_on(&op, async { Ok(1) }).unwrap(), 1);
}
