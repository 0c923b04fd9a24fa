//! The memory budget: never over its limit, nobody is passed over, nobody waits for ever.

use crate::{
    check::every_order,
    engine::{
        budget::{Budget, Class, Reclaim, Reservation},
        op::Op,
    },
    error::{Code, Result},
    model::Mutex,
};
use seglift::metrics::Metrics;
use shuttle::{
    future::block_on,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};
use std::sync::{Arc, Weak};

const MIB: u64 = 1 << 20;
/// The smallest budget: 16 MiB, with floors of 4 MiB.
const LIMIT: u64 = 16 * MIB;
const FLOOR: u64 = 4 * MIB;
const LENT: u64 = 4 * MIB;

fn budget() -> Budget {
    Budget::new(LIMIT, LENT, Arc::new(Metrics::new())).unwrap()
}

fn reserve(budget: &Budget, class: Class, mib: u64, op: &Op) -> Result<Reservation> {
    let reserved = block_on(budget.reserve(class, mib * MIB, op));
    check(budget);
    reserved
}

/// The rules that the budget's own documentation states, at any moment.
fn check(budget: &Budget) {
    let s = budget.stats();
    assert_eq!(s.used, s.uploads + s.reads + s.cache + s.lent);
    assert!(s.used <= LIMIT && s.peak <= LIMIT && s.lent <= LENT, "{s:?}");
    assert!(s.uploads + s.lent <= LIMIT - FLOOR && s.reads + s.lent <= LIMIT - FLOOR, "{s:?}");
}

fn is_idle(budget: &Budget) {
    check(budget);
    let s = budget.stats();
    assert_eq!((s.used, s.waiting), (0, 0), "{s:?}");
}

#[test]
fn everybody_is_served_within_the_limit() {
    every_order(|| {
        let budget = budget();
        let asked =
            [(Class::Upload, 12), (Class::Upload, 7), (Class::Read, 12), (Class::Read, 3), (Class::Lent, 4)];
        let threads: Vec<_> = asked
            .into_iter()
            .enumerate()
            .map(|(n, (class, mib))| {
                let budget = budget.clone();
                thread::spawn(move || {
                    let mut held = reserve(&budget, class, mib, &Op::new(n as u64, n as i32 % 2)).unwrap();
                    // What holders do with it.
                    let part = held.split(MIB);
                    check(&budget);
                    held.shrink_to(MIB);
                    drop(part);
                    check(&budget);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        is_idle(&budget);
    });
}

#[test]
fn equals_are_served_in_their_order_and_the_urgent_before_them() {
    every_order(|| {
        let (budget, order) = (budget(), Arc::new(Mutex::new(Vec::new())));
        // Each takes all that a class can have, so that they hold it one after the other.
        let first = reserve(&budget, Class::Upload, 12, &Op::new(1, 0)).unwrap();
        let mut threads = Vec::new();
        for (n, priority) in [(0, 0), (1, 0), (2, 5)] {
            let (line, order) = (budget.clone(), order.clone());
            threads.push(thread::spawn(move || {
                let held = reserve(&line, Class::Upload, 12, &Op::new(2 + n, priority)).unwrap();
                order.lock().push(n);
                drop(held);
            }));
            // In the line before the next one comes.
            while budget.stats().waiting <= n as usize {
                thread::yield_now();
            }
        }
        // A small one of another class need not wait behind them: it is within its floor.
        drop(budget.try_reserve(Class::Read, 4 * MIB).unwrap());
        assert_eq!(budget.try_reserve(Class::Upload, MIB).unwrap_err().code(), Code::Busy);
        drop(first);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*order.lock(), [2, 0, 1]);
        is_idle(&budget);
    });
}

#[test]
fn who_stops_waiting_gives_back_what_it_was_just_granted() {
    every_order(|| {
        let budget = budget();
        let first = reserve(&budget, Class::Read, 12, &Op::new(1, 0)).unwrap();
        let stopped = Op::new(2, 0);
        let threads = [
            {
                let (budget, op) = (budget.clone(), stopped.clone());
                thread::spawn(move || match reserve(&budget, Class::Read, 12, &op) {
                    Ok(held) => drop(held),
                    Err(e) => assert_eq!(e.code(), Code::Cancelled),
                })
            },
            {
                let budget = budget.clone();
                thread::spawn(move || drop(reserve(&budget, Class::Read, 8, &Op::new(3, 0)).unwrap()))
            },
            thread::spawn(move || stopped.cancel()),
        ];
        drop(first);
        for thread in threads {
            thread.join().unwrap();
        }
        is_idle(&budget);
    });
}

#[test]
fn who_stops_waiting_lets_others_move_up() {
    every_order(|| {
        let budget = budget();
        // Stays until the end: whoever wants 12 MiB waits in vain, and keeps its own kind behind it.
        let kept = reserve(&budget, Class::Read, 6, &Op::new(1, 0)).unwrap();
        let (stopped, over) = (Op::new(2, 0), Arc::new(AtomicBool::new(false)));
        let waits = {
            let (budget, op) = (budget.clone(), stopped.clone());
            thread::spawn(move || {
                let refused = reserve(&budget, Class::Read, 12, &op).unwrap_err();
                assert_eq!(refused.code(), Code::Cancelled);
            })
        };
        while budget.stats().waiting == 0 {
            thread::yield_now();
        }
        let behind = {
            let (budget, over) = (budget.clone(), over.clone());
            thread::spawn(move || {
                let held = reserve(&budget, Class::Read, 6, &Op::new(3, 0)).unwrap();
                assert!(over.load(SeqCst), "it passed one of its own kind");
                drop(held);
            })
        };
        let stops = thread::spawn(move || {
            over.store(true, SeqCst);
            stopped.cancel();
        });
        let threads = [waits, behind, stops];
        for thread in threads {
            thread.join().unwrap();
        }
        drop(kept);
        is_idle(&budget);
    });
}

/// A cache that holds what it got until it is asked to yield.
#[derive(Default)]
struct Cache(Mutex<Vec<Reservation>>);

impl Reclaim for Cache {
    fn reclaim(&self, bytes: u64) -> u64 {
        let mut yielded = Vec::new();
        let mut entries = self.0.lock();
        while yielded.iter().map(Reservation::bytes).sum::<u64>() < bytes {
            match entries.pop() {
                Some(entry) => yielded.push(entry),
                None => break,
            }
        }
        drop(entries);
        yielded.iter().map(Reservation::bytes).sum()
    }
}

#[test]
fn the_cache_yields_to_who_waits_also_while_it_is_being_filled() {
    every_order(|| {
        let (budget, cache) = (budget(), Arc::new(Cache::default()));
        let yields: Weak<Cache> = Arc::downgrade(&cache);
        budget.add_reclaim(yields);
        let mut threads = Vec::new();
        for fetch in 0..2 {
            let (budget, cache) = (budget.clone(), cache.clone());
            // As a fetch does: memory for reading becomes memory of the cache.
            threads.push(thread::spawn(move || {
                let held = reserve(&budget, Class::Read, 6, &Op::new(fetch, 0)).unwrap();
                match held.into_class(Class::Cache) {
                    Ok(entry) => cache.0.lock().push(entry),
                    Err(held) => drop(held),
                }
                budget.settle();
                check(&budget);
            }));
        }
        for (n, class) in [Class::Upload, Class::Read].into_iter().enumerate() {
            let budget = budget.clone();
            threads.push(thread::spawn(move || {
                drop(reserve(&budget, class, 12, &Op::new(10 + n as u64, 0)).unwrap());
            }));
        }
        for thread in threads {
            thread.join().unwrap();
        }
        let s = budget.stats();
        assert_eq!((s.used, s.waiting), (s.cache, 0), "{s:?}");
        cache.0.lock().clear();
        is_idle(&budget);
    });
}
