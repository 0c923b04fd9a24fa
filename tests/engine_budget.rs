//! What the memory budget promises.

use seglift::Code;
use seglift::engine::{
    Budget, Call, Cancel, Class, Defaults, Engine, EngineOptions, Op, OpKind, Reclaim, Reservation,
};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

fn engine() -> Engine {
    Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap()
}

fn op(engine: &Engine, deadline_ms: u64) -> Op {
    let defaults = Defaults { deadline: Some(Duration::from_millis(deadline_ms)), stall: None };
    engine.start(OpKind::Read, "k", &Call::default(), defaults).unwrap()
}

fn reserve(
    engine: &Engine,
    budget: &Budget,
    class: Class,
    bytes: u64,
    ms: u64,
) -> seglift::Result<Reservation> {
    let (budget, op) = (budget.clone(), op(engine, ms));
    engine.block_on(&op.clone(), async move { budget.reserve(class, bytes, &op).await })
}

/// Starts to wait, and returns once it stands in the line.
fn wait_in_line(
    engine: &Engine,
    budget: &Budget,
    class: Class,
    bytes: u64,
) -> std::sync::mpsc::Receiver<seglift::Result<Reservation>> {
    let (tell, told) = std::sync::mpsc::channel();
    let before = budget.stats().waiting;
    let (b, op) = (budget.clone(), op(engine, 20_000));
    engine.spawn_with(op.clone(), async move { b.reserve(class, bytes, &op).await }, move |r| {
        tell.send(r).unwrap()
    });
    let since = Instant::now();
    while budget.stats().waiting == before {
        assert!(since.elapsed() < Duration::from_secs(5), "it did not have to wait");
        std::thread::yield_now();
    }
    told
}

fn new_budget(limit: u64, lent_limit: u64) -> seglift::Result<Budget> {
    Budget::new(limit, lent_limit, Arc::default())
}

/// A cache of pieces of 1 MiB.
#[derive(Default)]
struct Pieces(Mutex<Vec<Reservation>>);

impl Pieces {
    fn filled(budget: &Budget, mib: usize) -> Arc<Pieces> {
        let pieces = Arc::new(Pieces::default());
        let weak: Weak<Pieces> = Arc::downgrade(&pieces);
        budget.add_reclaim(weak);
        let mut held = pieces.0.lock().unwrap();
        held.extend((0..mib).map(|_| budget.try_reserve(Class::Cache, MIB).unwrap()));
        drop(held);
        pieces
    }
}

impl Reclaim for Pieces {
    fn reclaim(&self, bytes: u64) -> u64 {
        let mut held = self.0.lock().unwrap();
        let n = held.len().min(bytes.div_ceil(MIB) as usize);
        let freed: Vec<_> = held.drain(..n).collect();
        drop(held);
        freed.iter().map(Reservation::bytes).sum()
    }
}

#[test]
fn what_can_never_fit_is_refused_at_once_and_names_the_setting() {
    let engine = engine();
    let budget = new_budget(32 * MIB, 8 * MIB).unwrap();
    let e = reserve(&engine, &budget, Class::Read, 29 * MIB, 10_000).unwrap_err();
    assert_eq!(e.code(), Code::ResourceExhausted);
    assert!(e.message().contains("memory.budget"), "{e}");
    let e = budget.try_reserve(Class::Lent, 9 * MIB).unwrap_err();
    assert_eq!(e.code(), Code::ResourceExhausted);
    assert!(e.message().contains("memory.lent.limit"), "{e}");
    assert_eq!(new_budget(MIB, 0).unwrap_err().code(), Code::InvalidConfig);
}

#[test]
fn uploads_leave_reads_their_floor_and_the_reverse() {
    for (first, second) in [(Class::Upload, Class::Read), (Class::Read, Class::Upload)] {
        let budget = new_budget(64 * MIB, 32 * MIB).unwrap();
        let floor = budget.floor();
        let all = budget.try_reserve(first, budget.largest(first)).unwrap();
        assert_eq!(budget.try_reserve(first, 1).unwrap_err().code(), Code::Busy);
        let other = budget.try_reserve(second, floor).unwrap();
        assert_eq!(budget.try_reserve(second, 1).unwrap_err().code(), Code::Busy);
        drop((all, other));
        assert_eq!(budget.stats().used, 0);
    }
}

#[test]
fn lent_buffers_have_a_limit_and_can_take_the_floor_of_nobody() {
    let budget = new_budget(64 * MIB, 1 << 40).unwrap();
    let lent = budget.try_reserve(Class::Lent, budget.largest(Class::Lent)).unwrap();
    assert_eq!(budget.try_reserve(Class::Lent, 1).unwrap_err().code(), Code::Busy);
    let up = budget.try_reserve(Class::Upload, budget.floor()).unwrap();
    let down = budget.try_reserve(Class::Read, budget.floor()).unwrap();
    assert_eq!(budget.stats().used, budget.limit());
    drop((lent, up, down));

    let up = budget.try_reserve(Class::Upload, budget.largest(Class::Upload)).unwrap();
    assert_eq!(budget.try_reserve(Class::Lent, 1).unwrap_err().code(), Code::Busy, "reads keep their floor");
    drop(up);
}

#[test]
fn the_cache_yields_before_anyone_waits() {
    let engine = engine();
    let budget = new_budget(32 * MIB, 8 * MIB).unwrap();
    let cache = Pieces::filled(&budget, 32);
    let read = reserve(&engine, &budget, Class::Read, 5 * MIB, 10_000).unwrap();
    assert_eq!(budget.stats().cache, 27 * MIB, "as much as was needed, no more");
    let part = budget.try_reserve(Class::Upload, 8 * MIB).unwrap();
    let lent = budget.try_reserve(Class::Lent, 2 * MIB).unwrap();
    assert_eq!((budget.stats().cache, budget.stats().used), (17 * MIB, 32 * MIB));
    drop((read, part, lent, cache));
}

#[test]
fn the_cache_takes_nothing_while_anybody_waits() {
    let engine = engine();
    let budget = new_budget(32 * MIB, 8 * MIB).unwrap();
    let mut held = budget.try_reserve(Class::Read, 28 * MIB).unwrap();
    let waits = wait_in_line(&engine, &budget, Class::Read, 10 * MIB);
    assert_eq!(budget.try_reserve(Class::Cache, 1).unwrap_err().code(), Code::Busy);
    let refused = held.split(MIB).into_class(Class::Cache).unwrap_err();
    assert_eq!((refused.class(), refused.bytes()), (Class::Read, MIB));
    drop(held);
    drop(waits.recv().unwrap().unwrap());
    assert!(refused.into_class(Class::Cache).is_ok());
}

#[test]
fn those_who_wait_are_served_in_their_order_and_the_urgent_first() {
    let engine = engine();
    let budget = new_budget(32 * MIB, 0).unwrap();
    let held = budget.try_reserve(Class::Read, 28 * MIB).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut ends = Vec::new();
    for (name, priority) in [("first", 0), ("second", 0), ("urgent", 7), ("third", 0)] {
        let (b, order, before) = (budget.clone(), order.clone(), budget.stats().waiting);
        let call = Call { priority, ..Call::default() };
        let op = engine.start(OpKind::Read, name, &call, Defaults::default()).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let waiter = op.clone();
        let run = async move {
            let all = b.reserve(Class::Read, 28 * MIB, &waiter).await?;
            order.lock().unwrap().push(name);
            drop(all);
            Ok(())
        };
        engine.spawn_with(op, run, move |r| tell.send(r).unwrap());
        ends.push(told);
        while budget.stats().waiting == before {
            std::thread::yield_now();
        }
    }
    assert_eq!(budget.try_reserve(Class::Read, 1).unwrap_err().code(), Code::Busy, "nobody jumps the line");
    drop(held);
    for end in ends {
        end.recv_timeout(Duration::from_secs(5)).unwrap().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["urgent", "first", "second", "third"]);
    let stats = budget.stats();
    assert_eq!((stats.waits, stats.waiting, stats.used), (4, 0, 0));
    assert!(stats.wait_seconds > 0.0);
}

#[test]
fn a_class_at_its_limit_does_not_hold_up_the_others() {
    let engine = engine();
    let budget = new_budget(64 * MIB, 0).unwrap();
    let uploads = budget.try_reserve(Class::Upload, 56 * MIB).unwrap();
    let waits = wait_in_line(&engine, &budget, Class::Upload, 8 * MIB);
    let read = reserve(&engine, &budget, Class::Read, 8 * MIB, 10_000).unwrap();
    drop((uploads, read));
    assert_eq!(waits.recv().unwrap().unwrap().bytes(), 8 * MIB);
}

#[test]
fn a_large_request_is_not_starved_by_small_ones() {
    let engine = engine();
    let budget = new_budget(64 * MIB, 0).unwrap();
    let mut parts: Vec<_> = (0..14).map(|_| budget.try_reserve(Class::Upload, 4 * MIB).unwrap()).collect();
    let large = wait_in_line(&engine, &budget, Class::Read, 50 * MIB);
    // Each part that ends is followed by another one, as in a busy broker.
    for _ in 0..100 {
        drop(parts.remove(0));
        match budget.try_reserve(Class::Upload, 4 * MIB) {
            Ok(part) => parts.push(part),
            Err(e) => assert_eq!(e.code(), Code::Busy),
        }
        if budget.stats().waiting == 0 {
            break;
        }
    }
    assert_eq!(parts.len(), 3, "uploads fell back to what fits beside the large request");
    let large = large.recv_timeout(Duration::from_secs(5)).expect("the large request was served").unwrap();
    assert_eq!(large.bytes(), 50 * MIB);
}

#[test]
fn who_gives_up_leaves_the_line_and_lets_others_move_up() {
    let engine = engine();
    let budget = new_budget(32 * MIB, 0).unwrap();
    let held = budget.try_reserve(Class::Read, 20 * MIB).unwrap();
    let token = Cancel::new();
    let call = Call { cancel: Some(token.clone()), ..Call::default() };
    let op = engine.start(OpKind::Read, "given-up", &call, Defaults::default()).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let b = budget.clone();
    let run = {
        let op = op.clone();
        async move { b.reserve(Class::Read, 20 * MIB, &op).await.map(drop) }
    };
    engine.spawn_with(op, run, move |r| tell.send(r).unwrap());
    while budget.stats().waiting == 0 {
        std::thread::yield_now();
    }
    let next = wait_in_line(&engine, &budget, Class::Read, 8 * MIB);
    token.cancel();
    assert_eq!(told.recv().unwrap().unwrap_err().code(), Code::Cancelled);
    assert_eq!(next.recv_timeout(Duration::from_secs(5)).unwrap().unwrap().bytes(), 8 * MIB);
    let e = reserve(&engine, &budget, Class::Read, 20 * MIB, 30).unwrap_err();
    assert_eq!(e.code(), Code::TimedOut);
    assert!(e.message().contains("memory.budget"), "{e}");
    drop(held);
    assert_eq!((budget.stats().used, budget.stats().waiting), (0, 0));
}

#[test]
fn a_reservation_can_be_cut_shrunk_and_put_to_another_use() {
    let budget = new_budget(32 * MIB, 8 * MIB).unwrap();
    let mut all = budget.try_reserve(Class::Read, 10 * MIB).unwrap();
    let part = all.split(4 * MIB);
    all.shrink_to(5 * MIB);
    all.shrink_to(9 * MIB);
    assert_eq!((all.bytes(), part.bytes(), budget.stats().used), (5 * MIB, 4 * MIB, 9 * MIB));
    let lent = part.into_class(Class::Lent).unwrap();
    assert_eq!((budget.stats().lent, budget.stats().reads), (4 * MIB, 5 * MIB));
    let refused = all.into_class(Class::Lent).unwrap_err();
    assert_eq!(
        (refused.class(), budget.stats().reads),
        (Class::Read, 5 * MIB),
        "over the limit of what is lent"
    );
    drop((lent, refused));
    assert_eq!(budget.stats().used, 0);
}

#[test]
fn the_limit_holds_and_everybody_gets_on_under_a_storm_of_requests() {
    let engine = engine();
    let budget = new_budget(32 * MIB, 8 * MIB).unwrap();
    let cache = Arc::new(Pieces::default());
    let weak: Weak<Pieces> = Arc::downgrade(&cache);
    budget.add_reclaim(weak);
    let done = AtomicU64::new(0);
    std::thread::scope(|s| {
        for seed in 0..32_u64 {
            let (engine, budget, cache, done) = (&engine, &budget, &cache, &done);
            s.spawn(move || {
                let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
                let mut random = |n: u64| {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    x % n
                };
                for _ in 0..150 {
                    let class = if random(2) == 0 { Class::Read } else { Class::Upload };
                    // Now and then one that needs nearly everything.
                    let bytes = if random(20) == 0 { 25 * MIB } else { 1 + random(6 * MIB) };
                    let impatient = random(10) == 0;
                    match reserve(engine, budget, class, bytes, if impatient { 1 } else { 30_000 }) {
                        Ok(held) if random(3) == 0 => {
                            if let Ok(cached) = held.into_class(Class::Cache) {
                                cache.0.lock().unwrap().push(cached);
                                budget.settle();
                            }
                        }
                        Ok(held) if random(4) == 0 => drop(held.into_class(Class::Lent)),
                        Ok(held) => {
                            std::thread::yield_now();
                            drop(held);
                        }
                        Err(e) => assert!(impatient && e.code() == Code::TimedOut, "{e:?}"),
                    }
                    let stats = budget.stats();
                    assert!(stats.used <= stats.limit && stats.lent <= stats.lent_limit, "{stats:?}");
                    assert!(stats.uploads + stats.lent <= stats.limit - budget.floor(), "{stats:?}");
                    assert!(stats.reads + stats.lent <= stats.limit - budget.floor(), "{stats:?}");
                    done.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert_eq!(done.load(SeqCst), 32 * 150);
    let stats = budget.stats();
    assert!(stats.peak <= stats.limit && stats.waits > 0);
    cache.0.lock().unwrap().clear();
    assert_eq!((budget.stats().used, budget.stats().waiting), (0, 0));
}
