//! Operations in flight, and their results in the order of their submission.
//!
//! The main thread waits here and nowhere else, which is why a progress bar moves while an offload
//! runs, and why several ranges of one segment are fetched while an earlier one is written out.

use seglift::{
    Code, Error, Result,
    driver::{Driver, Outcome},
    engine::{Engine, Event, Queue, Slot},
};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

/// How often progress is looked at: a bar that moves ten times a second looks smooth.
const TICK: Duration = Duration::from_millis(100);

/// Submitted operations of one driver.
pub struct Inflight {
    engine: Engine,
    queue: Queue<Outcome>,
    /// Number and operation id, in the order of submission.
    waiting: VecDeque<(usize, u64)>,
    done: HashMap<usize, Result<Outcome>>,
    submitted: usize,
}

impl Inflight {
    /// Room for `capacity` operations.
    pub fn new(driver: &Driver, capacity: usize) -> Result<Self> {
        let engine = driver.engine().clone();
        let queue = Queue::new(capacity)?;
        Ok(Inflight { engine, queue, waiting: VecDeque::new(), done: HashMap::new(), submitted: 0 })
    }

    /// How many results are still to be taken.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Submits an operation; `submit` gets the place of its completion.
    pub fn submit(&mut self, submit: impl FnOnce(Slot<Outcome>) -> Result<u64>) -> Result<()> {
        let number = self.submitted;
        let op = submit(self.queue.reserve(number)?)?;
        self.submitted += 1;
        self.waiting.push_back((number, op));
        Ok(())
    }

    /// Waits for the oldest operation; `tick` hears its bytes done and in all (0: not known).
    pub fn next(&mut self, mut tick: impl FnMut(u64, u64)) -> Result<Outcome> {
        let Some((number, op)) = self.waiting.pop_front() else {
            return Err(Error::new(Code::Internal, "a result was awaited that nobody submitted"));
        };
        loop {
            if let Some(result) = self.done.remove(&number) {
                return result;
            }
            for completion in self.queue.poll(self.submitted, Some(TICK))? {
                if let Event::Done { result, .. } = completion.event {
                    self.done.insert(completion.user_data, result);
                }
            }
            if let Some(progress) = self.engine.progress(op) {
                tick(progress.bytes_done, progress.bytes_total);
            }
        }
    }
}

/// The engine answered another question than was asked.
pub fn unexpected(outcome: &Outcome) -> Error {
    Error::new(Code::Internal, format!("an operation ended with {outcome:?}"))
}
