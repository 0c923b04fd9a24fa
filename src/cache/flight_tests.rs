//! The single flight, with tokio's threads. `tests/interleavings` walks through the orders of its steps; that is why these
//! tests are no part of its file, which is compiled there too.

use super::{Flight, Flights, Join, Lead};
use crate::error::{Code, Error};
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

fn lead<V: Clone>(flight: Flight<u32, V>) -> Lead<u32, V> {
    match flight {
        Flight::Lead(lead) => lead,
        Flight::Join(_) => panic!("somebody else leads"),
    }
}

fn join<V: Clone>(flight: Flight<u32, V>) -> Join<V> {
    match flight {
        Flight::Lead(_) => panic!("nobody leads"),
        Flight::Join(join) => join,
    }
}

#[test]
fn those_who_join_get_what_the_lead_brought() {
    let flights = Flights::new();
    let first = lead(flights.join_or_lead(1));
    let waiting = [join(flights.join_or_lead(1)), flights.join(&1).unwrap(), first.join()];
    assert!(first.is_awaited() && flights.join(&2).is_none());
    first.land(Ok("bytes"));
    for join in waiting {
        assert_eq!(join.landed().now_or_never().unwrap().unwrap(), "bytes");
    }
    assert!(flights.is_empty());
    drop(lead(flights.join_or_lead(1)));
    assert!(flights.is_empty(), "after the flight the next one leads");
}

#[test]
fn those_who_join_get_the_error_too() {
    let flights = Flights::<u32, ()>::new();
    let first = lead(flights.join_or_lead(1));
    let waiting = join(flights.join_or_lead(1));
    first.land(Err(Error::new(Code::Corrupt, "block 1 is damaged")));
    assert_eq!(waiting.landed().now_or_never().unwrap().unwrap_err().code(), Code::Corrupt);
}

#[test]
fn nobody_hangs_when_the_lead_is_lost() {
    let flights = Flights::<u32, ()>::new();
    let first = lead(flights.join_or_lead(1));
    let waiting = join(flights.join_or_lead(1));
    assert!(
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _first = first;
            std::panic::resume_unwind(Box::new("a defect"));
        }))
        .is_err()
    );
    let error = waiting.landed().now_or_never().unwrap().unwrap_err();
    assert!(error.code() == Code::Internal && error.retryable());
    drop(lead(flights.join_or_lead(1)));
}

#[test]
fn one_fetch_can_lead_a_run_of_blocks_and_join_where_others_lead() {
    let flights = Flights::new();
    let other = lead(flights.join_or_lead(3));
    let run = flights.join_or_lead_many([1, 2, 3, 4, 4]);
    let leads: Vec<_> = run.iter().map(|f| matches!(f, Flight::Lead(_))).collect();
    assert_eq!(leads, [true, true, false, true, false]);
    assert_eq!(flights.len(), 4);
    let mut waiting = Vec::new();
    for flight in run {
        match flight {
            Flight::Lead(lead) => {
                let key = *lead.key();
                lead.land(Ok(key));
            }
            Flight::Join(join) => waiting.push(join),
        }
    }
    other.land(Ok(3));
    let joined: Vec<_> = waiting.into_iter().map(|j| j.landed().now_or_never().unwrap().unwrap()).collect();
    assert_eq!(joined, [3, 4]);
    assert!(flights.is_empty());
}

#[test]
fn a_reader_that_gives_up_disturbs_neither_the_flight_nor_the_others() {
    let flights = Flights::new();
    let first = lead(flights.join_or_lead(1));
    let (gives_up, waits) = (join(flights.join_or_lead(1)), join(flights.join_or_lead(1)));
    drop(gives_up);
    first.land(Ok(5));
    assert_eq!(waits.landed().now_or_never().unwrap().unwrap(), 5);
}

#[test]
fn of_many_threads_that_want_one_key_at_once_one_fetches() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    for round in 0..50 {
        let (flights, fetched) = (Flights::<u32, u32>::new(), Arc::new(AtomicUsize::new(0)));
        let cached = Arc::new(Mutex::new(None));
        let readers: Vec<_> = (0..16)
            .map(|_| {
                let (flights, fetched, cached) = (flights.clone(), fetched.clone(), cached.clone());
                runtime.spawn(async move {
                    if let Some(hit) = *cached.lock() {
                        return hit;
                    }
                    match flights.join_or_lead(round) {
                        Flight::Join(join) => join.landed().await.unwrap(),
                        Flight::Lead(lead) => {
                            let again = *cached.lock();
                            let value = match again {
                                Some(hit) => hit,
                                None => {
                                    fetched.fetch_add(1, SeqCst);
                                    tokio::task::yield_now().await;
                                    *cached.lock() = Some(round + 7);
                                    round + 7
                                }
                            };
                            lead.land(Ok(value));
                            value
                        }
                    }
                })
            })
            .collect();
        for reader in readers {
            assert_eq!(runtime.block_on(reader).unwrap(), round + 7);
        }
        assert_eq!((fetched.load(SeqCst), flights.len()), (1, 0));
    }
}
