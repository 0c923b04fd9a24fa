//! The completion queue: each result is delivered once, and nobody who waits is forgotten.

use crate::{
    check::every_order,
    engine::{
        op::Op,
        queue::{Event, Queue, Slot},
    },
    error::{Code, Error},
    model::lose_wake_ups,
};
use shuttle::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(600);

type Seen = Arc<Mutex<Vec<(usize, Result<usize, Code>)>>>;

/// Takes a place as soon as there is one.
fn reserve(queue: &Queue<usize>, user_data: usize) -> Slot<usize> {
    loop {
        match queue.reserve(user_data) {
            Ok(slot) => return slot,
            Err(e) => assert_eq!(e.code(), Code::Busy),
        }
        thread::yield_now();
    }
}

/// Polls until the queue says that nothing comes any more.
fn poller(
    queue: &Queue<usize>,
    seen: &Seen,
    max: usize,
    timeout: Option<Duration>,
) -> thread::JoinHandle<()> {
    let (queue, seen) = (queue.clone(), seen.clone());
    thread::spawn(move || {
        loop {
            match queue.poll(max, timeout) {
                Err(e) => return assert_eq!(e.code(), Code::Closed),
                Ok(polled) => {
                    for completion in polled {
                        let Event::Done { result, .. } = completion.event else {
                            panic!("there is no writer")
                        };
                        seen.lock().unwrap().push((completion.user_data, result.map_err(|e| e.code())));
                    }
                }
            }
        }
    })
}

/// Four operations, two places, two pollers of which one waits without end.
fn deliver() {
    let (queue, seen) = (Queue::new(2).unwrap(), Seen::default());
    let pollers = [poller(&queue, &seen, 1, None), poller(&queue, &seen, 2, Some(LONG))];
    let submitters: Vec<_> = (0..4)
        .map(|n| {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut slot = reserve(&queue, n);
                slot.bind(&Op::new(n as u64 + 1, 0));
                match n {
                    0 => slot.complete(Ok(7)),
                    1 => slot.complete(Err(Error::new(Code::NotFound, "gone"))),
                    2 => drop(slot),
                    _ => slot.withdraw(),
                }
            })
        })
        .collect();
    for submitter in submitters {
        submitter.join().unwrap();
    }
    while queue.shutdown(LONG).is_err() {}
    for poller in pollers {
        poller.join().unwrap();
    }
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_by_key(|(n, _)| *n);
    assert_eq!(seen, [(0, Ok(7)), (1, Err(Code::NotFound)), (2, Err(Code::Internal))]);
    assert_eq!(queue.in_flight(), 0);
}

#[test]
fn each_completion_is_delivered_once_and_no_poller_is_forgotten() {
    every_order(deliver);
}

#[test]
fn a_wake_up_that_gets_lost_is_noticed() {
    let lost = std::panic::catch_unwind(|| {
        every_order(|| {
            lose_wake_ups(64);
            let queue = Queue::new(1).unwrap();
            let poller = {
                let queue = queue.clone();
                thread::spawn(move || queue.poll(1, None).unwrap().len())
            };
            queue.reserve(1).unwrap().complete(Ok(1));
            assert_eq!(poller.join().unwrap(), 1);
        });
    });
    lose_wake_ups(0);
    let message = *lost.expect_err("it went well").downcast::<String>().expect("shuttle's message");
    assert!(message.contains("deadlock"), "{message}");
}

#[test]
fn shutting_down_cancels_what_runs_and_what_is_just_being_bound() {
    every_order(|| {
        let (queue, seen) = (Queue::new(3).unwrap(), Seen::default());
        // Both may have fallen asleep when the last completion comes, which wakes one: that one must wake the other.
        let pollers = [poller(&queue, &seen, 1, None), poller(&queue, &seen, 1, None)];
        let ended = Arc::new(AtomicUsize::new(0));
        let running: Vec<_> = (0..2)
            .map(|n| {
                let (queue, ended) = (queue.clone(), ended.clone());
                thread::spawn(move || {
                    let Ok(mut slot) = queue.reserve(n) else { return 0 };
                    let within = (queue.clone(), ended.clone());
                    // As the library's operations do when their last handle goes: it comes back to the queue.
                    let op = Op::with_last(n as u64 + 1, move || {
                        within.0.in_flight();
                        within.1.fetch_add(1, SeqCst);
                    });
                    slot.bind(&op);
                    // Only being cancelled ends it.
                    shuttle::future::block_on(op.cancelled());
                    drop(op);
                    slot.complete(Err(Error::new(Code::Cancelled, "stopped")));
                    1
                })
            })
            .collect();
        while let Err(e) = queue.shutdown(LONG) {
            assert_eq!(e.code(), Code::TimedOut);
        }
        assert_eq!(queue.reserve(9).map(Slot::withdraw).map_err(|e| e.code()), Err(Code::Closed));
        let accepted: usize = running.into_iter().map(|thread| thread.join().unwrap()).sum();
        for poller in pollers {
            poller.join().unwrap();
        }
        assert_eq!((seen.lock().unwrap().len(), queue.in_flight()), (accepted, 0));
        assert_eq!(ended.load(SeqCst), accepted, "handles of operations that ended");
    });
}

#[test]
fn who_takes_the_last_completion_wakes_those_who_wait_in_vain() {
    every_order(|| {
        let queue = Queue::new(1).unwrap();
        let slot = queue.reserve(1).unwrap();
        // Each polls once and never comes back.
        let pollers: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || queue.poll(1, None).map(|polled| polled.len()).map_err(|e| e.code()))
            })
            .collect();
        let closer = {
            let queue = queue.clone();
            thread::spawn(move || while queue.shutdown(LONG).is_err() {})
        };
        slot.complete(Ok(1));
        let polled: Vec<_> = pollers.into_iter().map(|poller| poller.join().unwrap()).collect();
        assert!(polled.contains(&Ok(1)) && polled.contains(&Err(Code::Closed)), "{polled:?}");
        closer.join().unwrap();
    });
}

#[test]
fn a_notifier_that_is_gone_is_never_heard_of_and_two_signals_of_one_are_one() {
    every_order(|| {
        let queue = Queue::<usize>::new(2).unwrap();
        let notifier = queue.notifier(5).unwrap();
        let (gone, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let poller = {
            let (queue, gone, over) = (queue.clone(), gone.clone(), over.clone());
            thread::spawn(move || {
                loop {
                    let late = gone.load(SeqCst);
                    let Ok(polled) = queue.poll(2, Some(Duration::ZERO)) else { return };
                    let most = if late { 0 } else { 1 };
                    assert!(polled.len() <= most);
                    if over.load(SeqCst) {
                        return;
                    }
                    thread::yield_now();
                }
            })
        };
        let other = Arc::new(notifier);
        let second = {
            let other = other.clone();
            thread::spawn(move || other.notify())
        };
        other.notify();
        second.join().unwrap();
        assert_eq!(queue.try_free().unwrap_err().code(), Code::Busy);
        drop(other);
        gone.store(true, SeqCst);
        over.store(true, SeqCst);
        poller.join().unwrap();
        queue.try_free().unwrap();
    });
}

#[test]
fn a_queue_is_freed_or_in_use_and_never_both() {
    every_order(|| {
        let queue = Queue::<usize>::new(1).unwrap();
        let submitter = {
            let queue = queue.clone();
            thread::spawn(move || queue.reserve(1).map_err(|e| e.code()))
        };
        let freed = queue.try_free().map_err(|e| e.code());
        match (freed, submitter.join().unwrap()) {
            (Ok(()), Err(code)) => assert_eq!(code, Code::Closed),
            (Err(code), Ok(slot)) => {
                assert_eq!(code, Code::Busy);
                slot.complete(Ok(1));
                assert_eq!(queue.poll(2, None).unwrap().len(), 1);
                queue.try_free().unwrap();
            }
            (freed, reserved) => panic!("freed: {freed:?}, in use: {}", reserved.is_ok()),
        }
    });
}

#[test]
fn the_descriptor_rings_exactly_while_a_poll_would_return() {
    every_order(|| {
        let queue = Queue::<usize>::new(3).unwrap();
        let submitters: Vec<_> = (0..2)
            .map(|n| {
                let queue = queue.clone();
                thread::spawn(move || reserve(&queue, n).complete(Ok(n)))
            })
            .collect();
        let fd = queue.fd().unwrap();
        let poller = {
            let queue = queue.clone();
            thread::spawn(move || queue.poll(1, None).unwrap().len())
        };
        for thread in submitters {
            thread.join().unwrap();
        }
        let polled = poller.join().unwrap();
        assert!(rings(fd));
        assert_eq!(queue.poll(9, None).unwrap().len() + polled, 2);
        assert!(!rings(fd));
        queue.shutdown(LONG).unwrap();
        assert!(rings(fd), "the end is something to poll for");
    });
}

fn rings(fd: std::os::fd::RawFd) -> bool {
    // Linux says of a descriptor of `eventfd` how much is in it; a second one for it would be `unsafe` to make.
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let count = about.lines().find_map(|line| line.strip_prefix("eventfd-count:")).expect("it is an eventfd");
    u64::from_str_radix(count.trim(), 16).unwrap() > 0
}
