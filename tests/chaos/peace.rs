//! The comparison of the books, when nobody does anything any more.

use crate::{
    action::same,
    book::{Content, Must},
    world::{BUDGET, HANGS, World, lock, until},
};
use seglift::{
    Code, Driver, Result,
    engine::{Call, Engine, EngineOptions},
    metrics::BreakerState,
    reader::SegmentRef,
};

impl World {
    /// Nothing is left over, and what must be there is.
    pub fn compare(&self) {
        let tally = lock(&self.shared.tally).clone();
        for ((what, how), times) in &tally {
            println!("{times:7} {what}: {how}");
        }
        let succeeded: Vec<_> = tally.keys().filter(|(_, how)| how == "OK").map(|(what, _)| *what).collect();
        assert_eq!(succeeded.len(), 13, "each kind went well at times: {succeeded:?}");
        let opened = self.engine.metrics().breaker_transitions.of(BreakerState::Open).value();
        println!("{opened:7} times a breaker opened");
        // On files as well it may stay closed: whether failures come in a row depends on how the threads meet.
        assert!(opened == 0 || !self.place.is_late(), "in memory there is no breaker");
        let pending = lock(&self.shared.pending);
        assert!(pending.is_empty(), "{} operations never ended", pending.len());
        drop(pending);
        lock(&self.shared.held).clear();
        lock(&self.shared.stops).clear();

        // Removals and fills that outlive their operation end by their own deadlines.
        let engine = &self.engine;
        let idle = || {
            let (s, b) = (engine.status(), engine.budget().stats());
            engine.running() == 0
                && s.pieces_in_use == 0
                && (b.uploads, b.reads, b.lent, b.waiting) == (0, 0, 0, 0)
        };
        until(idle, || format!("{:?} {:?}", engine.status(), engine.budget().stats()));
        let budget = engine.budget().stats();
        assert!(budget.peak <= BUDGET, "{budget:?}");
        assert!(budget.peak > BUDGET / 4, "memory was no concern: {budget:?}");

        let fresh = Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap();
        let driver = self.place.open(&fresh, "");
        let entries = self.shared.book.must(self.place.is_late());
        let (mut there, mut gone) = (0, 0);
        for (key, content, must) in &entries {
            match must {
                Must::Hold(receipt) => {
                    self.holds(&driver, key, content, Some(&receipt.token)).unwrap();
                    there += 1;
                }
                Must::HoldOrLack => match self.holds(&driver, key, content, None) {
                    Ok(()) => {}
                    Err(e) => assert_eq!(e.code(), Code::NotFound, "{key}: {e}"),
                },
                Must::Lack => {
                    let found = self.holds(&driver, key, content, None).map_err(|e| e.code());
                    assert_eq!(found, Err(Code::NotFound), "{key} was not committed, or it was deleted");
                    gone += 1;
                }
            }
        }
        println!("{} keys: {there} must be there, {gone} must not", entries.len());
        driver.close(HANGS).unwrap();
    }

    /// The whole segment is right, read by somebody who has nothing in memory.
    fn holds(&self, driver: &Driver, key: &str, content: &Content, token: Option<&[u8]>) -> Result<()> {
        let of = SegmentRef { key: key.to_owned(), token: token.map(<[u8]>::to_vec) };
        let call = Call { deadline: Some(HANGS), ..Call::default() };
        if content.records {
            let mut n = 0;
            loop {
                let batch = driver.read_records(&of, 2 * n as u64, 0, 1 << 20, &call)?;
                for record in batch.records() {
                    assert!(record.payload == content.record(n).payload, "record {n} of {key}");
                    n += 1;
                }
                if batch.at_end() {
                    assert_eq!(n, content.record_count(), "{key}");
                    return Ok(());
                }
            }
        }
        let mut bytes = vec![0; content.len + 1];
        let n = driver.read_range(&of, 0, &mut bytes, &call)?;
        same(content, 0, content.len, &bytes[..n]);
        Ok(())
    }
}
