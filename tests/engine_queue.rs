//! What a completion queue promises.

use seglift::engine::{Call, Completion, Defaults, Engine, EngineOptions, Event, Op, OpKind, Queue};
use seglift::{Code, Error, Result};
use std::collections::HashSet;
use std::os::fd::RawFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

fn readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    let n = unsafe { libc::poll(&mut poll, 1, 0) };
    assert!(n >= 0);
    n == 1 && poll.revents & libc::POLLIN != 0
}

fn user_data<T>(polled: Result<Vec<Completion<T>>>) -> Vec<usize> {
    polled.unwrap().iter().map(|c| c.user_data).collect()
}

fn code_of<T>(completion: &Completion<T>) -> Option<Code> {
    match &completion.event {
        Event::Done { result, .. } => result.as_ref().err().map(Error::code),
        Event::Ready => None,
    }
}

#[test]
fn completions_come_in_their_order_with_what_the_host_gave() {
    let queue = Queue::new(4).unwrap();
    let (a, b) = (queue.reserve(10).unwrap(), queue.reserve(11).unwrap());
    assert_eq!(queue.in_flight(), 2);
    b.complete(Ok("b"));
    a.complete(Err(Error::new(Code::NotFound, "no")));
    let polled = queue.poll(9, None).unwrap();
    assert_eq!(polled.iter().map(|c| c.user_data).collect::<Vec<_>>(), [11, 10]);
    assert!(matches!(polled[0].event, Event::Done { op: 0, result: Ok("b") }));
    assert_eq!(code_of(&polled[1]), Some(Code::NotFound));
    assert_eq!(queue.in_flight(), 0);
}

#[test]
fn a_full_queue_is_busy_until_it_is_polled_and_not_until_it_completes() {
    let queue = Queue::new(2).unwrap();
    let (a, b) = (queue.reserve(0).unwrap(), queue.reserve(1).unwrap());
    assert_eq!(queue.reserve(2).unwrap_err().code(), Code::Busy);
    a.complete(Ok(()));
    assert_eq!(queue.reserve(2).unwrap_err().code(), Code::Busy, "its completion still has the place");
    b.withdraw();
    let c = queue.reserve(2).unwrap();
    assert_eq!(user_data(queue.poll(1, None)), [0]);
    drop(queue.reserve(3).unwrap());
    c.complete(Ok(()));
    assert_eq!(user_data(queue.poll(5, None)), [3, 2]);
    for capacity in [0, seglift::engine::MAX_CAPACITY + 1] {
        assert_eq!(Queue::<()>::new(capacity).unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(queue.poll(0, None).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_place_that_is_lost_completes_all_the_same() {
    let queue = Queue::<()>::new(1).unwrap();
    drop(queue.reserve(5).unwrap());
    let polled = queue.poll(1, None).unwrap();
    assert_eq!((polled[0].user_data, code_of(&polled[0])), (5, Some(Code::Internal)));
}

#[test]
fn the_descriptor_is_readable_exactly_while_a_poll_would_return_at_once() {
    let queue = Queue::new(4).unwrap();
    queue.reserve(0).unwrap().complete(Ok(()));
    let fd = queue.fd().unwrap();
    assert_eq!(fd, queue.fd().unwrap());
    assert!(readable(fd), "completed before the descriptor was made");
    queue.reserve(1).unwrap().complete(Ok(()));
    queue.poll(1, None).unwrap();
    assert!(readable(fd), "one is left");
    queue.poll(1, None).unwrap();
    assert!(!readable(fd));
    assert!(queue.poll(1, Some(Duration::ZERO)).unwrap().is_empty());
    let slot = queue.reserve(2).unwrap();
    assert!(!readable(fd), "it has not ended");
    slot.complete(Ok(()));
    assert!(readable(fd));
    queue.poll(1, None).unwrap();
    queue.shutdown(MS).unwrap();
    assert!(readable(fd), "an event loop learns of the end");
    assert_eq!(queue.poll(1, None).unwrap_err().code(), Code::Closed);
}

#[test]
fn a_poll_waits_as_long_as_it_was_told() {
    let queue = Queue::<()>::new(1).unwrap();
    let since = Instant::now();
    assert!(queue.poll(1, Some(40 * MS)).unwrap().is_empty());
    assert!((40 * MS..2_000 * MS).contains(&since.elapsed()));
    let slot = queue.reserve(1).unwrap();
    let later = std::thread::spawn(move || {
        std::thread::sleep(30 * MS);
        slot.complete(Ok(()));
    });
    assert_eq!(user_data(queue.poll(1, None)), [1]);
    later.join().unwrap();
}

#[test]
fn every_completion_reaches_one_of_many_pollers() {
    let queue = Queue::new(256).unwrap();
    let seen = Mutex::new(HashSet::new());
    const N: usize = 20_000;
    std::thread::scope(|s| {
        for i in 0..4 {
            let (queue, seen) = (&queue, &seen);
            s.spawn(move || {
                loop {
                    // Some wait for ever, some look now and then.
                    match queue.poll(1 + i, (i % 2 == 0).then_some(MS)) {
                        Ok(polled) => {
                            let mut seen = seen.lock().unwrap();
                            polled.iter().for_each(|c| assert!(seen.insert(c.user_data), "polled twice"));
                        }
                        Err(e) => return assert_eq!(e.code(), Code::Closed),
                    }
                }
            });
        }
        let producers: Vec<_> = (0..2)
            .map(|p| {
                let queue = &queue;
                s.spawn(move || {
                    for n in 0..N / 2 {
                        let slot = loop {
                            match queue.reserve(p * (N / 2) + n) {
                                Ok(slot) => break slot,
                                Err(e) => assert_eq!(e.code(), Code::Busy),
                            }
                            std::thread::yield_now();
                        };
                        slot.complete(Ok(()));
                    }
                })
            })
            .collect();
        producers.into_iter().for_each(|p| p.join().unwrap());
        queue.shutdown(10_000 * MS).unwrap();
    });
    assert_eq!(seen.lock().unwrap().len(), N);
}

fn engine() -> Engine {
    Engine::new(EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap()
}

fn op(engine: &Engine) -> Op {
    engine.start(OpKind::Read, "k", &Call::default(), Defaults::default()).unwrap()
}

#[test]
fn shutting_down_cancels_what_runs_and_leaves_its_end_to_be_polled() {
    let (engine, queue) = (engine(), Queue::<()>::new(8).unwrap());
    let ids: Vec<_> = (0..3)
        .map(|n| {
            let op = op(&engine);
            let (id, o) = (op.id(), op.clone());
            engine.spawn(op, queue.reserve(n).unwrap(), async move { o.guard(std::future::pending()).await });
            id
        })
        .collect();
    assert_eq!(queue.try_free().unwrap_err().code(), Code::Busy);
    queue.shutdown(5_000 * MS).unwrap();
    assert_eq!(queue.in_flight(), 0);
    assert_eq!(queue.reserve(9).unwrap_err().code(), Code::Closed);
    let polled = queue.poll(8, None).unwrap();
    assert_eq!(polled.len(), 3);
    for completion in &polled {
        assert_eq!(code_of(completion), Some(Code::Cancelled));
        let Event::Done { op, .. } = completion.event else { panic!("no completion") };
        assert!(ids.contains(&op));
    }
    assert_eq!(queue.poll(1, None).unwrap_err().code(), Code::Closed);
    queue.try_free().unwrap();
}

#[test]
fn shutting_down_gives_up_in_time_and_can_be_repeated() {
    let (engine, queue) = (engine(), Queue::<()>::new(8).unwrap());
    let late = queue.reserve(1).unwrap();
    let since = Instant::now();
    assert_eq!(queue.shutdown(30 * MS).unwrap_err().code(), Code::TimedOut);
    assert!(since.elapsed() < 2_000 * MS);
    // What was submitted before the end but starts after it is cancelled as well.
    let op = op(&engine);
    let o = op.clone();
    engine.spawn(op, late, async move { o.guard(std::future::pending()).await });
    queue.shutdown(5_000 * MS).unwrap();
    assert_eq!(code_of(&queue.poll(1, None).unwrap()[0]), Some(Code::Cancelled));
}

#[test]
fn pollers_that_wait_for_ever_learn_of_the_end() {
    let queue = Queue::<()>::new(8).unwrap();
    std::thread::scope(|s| {
        let waiting: Vec<_> = (0..3).map(|_| s.spawn(|| queue.poll(1, None).unwrap_err().code())).collect();
        std::thread::sleep(30 * MS);
        queue.shutdown(MS).unwrap();
        waiting.into_iter().for_each(|w| assert_eq!(w.join().unwrap(), Code::Closed));
    });
}

#[test]
fn a_writer_with_room_is_told_once_until_it_is_polled() {
    let queue = Queue::<()>::new(2).unwrap();
    let writer = queue.notifier(77).unwrap();
    let fd = queue.fd().unwrap();
    writer.notify();
    writer.notify();
    assert!(readable(fd));
    let polled = queue.poll(9, Some(Duration::ZERO)).unwrap();
    assert_eq!((polled.len(), polled[0].user_data), (1, 77));
    assert!(matches!(polled[0].event, Event::Ready));
    assert!(!readable(fd));
    writer.notify();
    assert_eq!(user_data(queue.poll(9, Some(Duration::ZERO))), [77], "and again after that");

    let slot = queue.reserve(1).unwrap();
    assert_eq!(queue.reserve(2).unwrap_err().code(), Code::Busy, "a writer has a place of its own");
    slot.withdraw();
    writer.notify();
    drop(queue.reserve(1).unwrap());
    queue.poll(1, None).unwrap();
    queue.poll(1, None).unwrap();
    assert_eq!(queue.try_free().unwrap_err().code(), Code::Busy);
}

#[test]
fn nothing_of_a_writer_is_polled_after_it_was_freed() {
    let queue = Queue::<()>::new(4).unwrap();
    let writer = queue.notifier(77).unwrap();
    let fd = queue.fd().unwrap();
    writer.notify();
    drop(writer);
    assert!(!readable(fd));
    assert!(queue.poll(1, Some(Duration::ZERO)).unwrap().is_empty());
    queue.try_free().unwrap();
}
