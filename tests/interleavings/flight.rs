//! The single flight: one fetch for all, and nobody hangs when it is lost.

use crate::{
    check::every_order,
    error::{Code, Error, Result},
    model::Mutex,
    single_flight::{Flight, Flights, Lead},
};
use shuttle::{
    future::block_on,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

const KEY: u32 = 3;

/// A cache of one block, filled as the flight's documentation says.
#[derive(Clone, Default)]
struct Block {
    flights: Flights<u32, u32>,
    cached: Arc<Mutex<Option<u32>>>,
    fetches: Arc<AtomicUsize>,
    leading: Arc<AtomicUsize>,
}

impl Block {
    fn read(&self) -> Result<u32> {
        if let Some(hit) = *self.cached.lock() {
            return Ok(hit);
        }
        let join = match self.flights.join_or_lead(KEY) {
            Flight::Join(join) => join,
            Flight::Lead(lead) => {
                let (join, block) = (lead.join(), self.clone());
                thread::spawn(move || block.fetch(lead));
                join
            }
        };
        block_on(join.landed())
    }

    fn fetch(&self, lead: Lead<u32, u32>) {
        assert_eq!(self.leading.fetch_add(1, SeqCst), 0, "two lead at once");
        let again = *self.cached.lock();
        let value = again.unwrap_or_else(|| {
            self.fetches.fetch_add(1, SeqCst);
            *self.cached.lock() = Some(7);
            7
        });
        self.leading.fetch_sub(1, SeqCst);
        lead.land(Ok(value));
    }
}

#[test]
fn one_fetch_serves_everybody() {
    every_order(|| {
        let block = Block::default();
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let block = block.clone();
                thread::spawn(move || block.read().unwrap())
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 7);
        }
        assert_eq!(block.fetches.load(SeqCst), 1);
    });
}

#[test]
fn of_flights_that_follow_each_other_none_ends_the_next() {
    every_order(|| {
        // Nothing is cached: each flight is followed by another.
        let (flights, leading) = (Flights::<u32, u32>::new(), Arc::new(AtomicUsize::new(0)));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (flights, leading) = (flights.clone(), leading.clone());
                thread::spawn(move || {
                    for _ in 0..2 {
                        match flights.join_or_lead(KEY) {
                            Flight::Join(join) => assert_eq!(block_on(join.landed()).unwrap(), 7),
                            Flight::Lead(lead) => {
                                assert_eq!(leading.fetch_add(1, SeqCst), 0, "two lead at once");
                                thread::yield_now();
                                leading.fetch_sub(1, SeqCst);
                                lead.land(Ok(7));
                            }
                        }
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.join().unwrap();
        }
        assert!(flights.is_empty());
    });
}

#[test]
fn a_lead_that_is_lost_wakes_everybody_and_the_next_one_leads() {
    every_order(|| {
        let flights = Flights::<u32, u32>::new();
        let (lost, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let readers: Vec<_> = (0..4)
            .map(|n| {
                let (flights, lost, served) = (flights.clone(), lost.clone(), served.clone());
                thread::spawn(move || {
                    loop {
                        let landed = match flights.join_or_lead(KEY) {
                            Flight::Join(join) => block_on(join.landed()),
                            // The first that leads is the one whose task dies.
                            Flight::Lead(lead) if lost.fetch_add(1, SeqCst) == 0 => {
                                let join = lead.join();
                                drop(lead);
                                block_on(join.landed())
                            }
                            Flight::Lead(lead) => {
                                lead.land(Ok(n));
                                Ok(n)
                            }
                        };
                        match landed {
                            Ok(_) => return served.fetch_add(1, SeqCst),
                            Err(e) => assert!(e.code() == Code::Internal && e.retryable()),
                        }
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!((served.load(SeqCst), flights.len()), (4, 0));
    });
}

#[test]
fn who_gives_up_disturbs_nobody() {
    every_order(|| {
        let flights = Flights::<u32, u32>::new();
        let Flight::Lead(lead) = flights.join_or_lead(KEY) else { panic!("nobody else is there") };
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let flights = flights.clone();
                thread::spawn(move || match flights.join(&KEY) {
                    None => {}
                    Some(join) if n == 0 => drop(join),
                    Some(join) => assert_eq!(block_on(join.landed()).unwrap_err().code(), Code::Corrupt),
                })
            })
            .collect();
        // What the lead asks before it fetches for nobody.
        lead.is_awaited();
        lead.land(Err(Error::new(Code::Corrupt, "block 3 is damaged")));
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(flights.is_empty());
    });
}
