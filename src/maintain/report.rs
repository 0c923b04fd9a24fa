//! What clean-up found and did, thing by thing.

use crate::error::Error;

/// Most items of a report: some MiB. What is beyond is counted, not listed.
const MOST_ITEMS: usize = 10_000;

macro_rules! verdicts {
    ($($(#[doc = $doc:literal])+ $name:ident = $num:literal, $text:literal;)+) => {
        /// What became of an upload or an object, and why. The numbers never change their meaning.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Verdict { $($(#[doc = $doc])+ $name = $num,)+ }

        impl Verdict {
            /// Every verdict, in the order of its number, which is its place here and one.
            pub const ALL: &'static [Verdict] = &[$(Verdict::$name,)+];

            /// The verdict as `--json` and people spell it.
            pub const fn name(self) -> &'static str {
                match self { $(Verdict::$name => $text,)+ }
            }
        }
    };
}

verdicts! {
    /// It is gone.
    Removed = 1, "removed";
    /// It would be gone without dry-run.
    WouldRemove = 2, "would-remove";
    /// Somebody tried to remove it and failed; the item's error says why.
    Failed = 3, "failed";
    /// Sweep: it cannot be read, so nobody knows whose it is; the item's error says why. It stays.
    Unreadable = 4, "unreadable";
    /// Another owner's. It stays.
    OtherOwner = 5, "other-owner";
    /// Reap: the store does not show whose it is. It stays unless the uploads of all owners were asked for.
    UnknownOwner = 6, "unknown-owner";
    /// Not old enough. It stays.
    Young = 7, "young";
    /// Reap: the process that began it lives. It stays.
    Alive = 8, "alive";
    /// Sweep: the host refers to it. It stays.
    Live = 9, "live";
    /// Sweep: the host refers to it, and it is not in the store.
    Missing = 10, "missing";
    /// It was there a moment ago, and somebody else ended or removed it.
    Gone = 11, "gone";
    /// Sweep: another object came under the key a moment ago. It stays.
    Changed = 12, "changed";
}

/// An upload or an object, and what became of it.
#[derive(Clone, Debug)]
pub struct Item {
    /// The key; of an upload to files the temporary file's name.
    pub name: String,
    /// Of an upload: what the store knows it by, else empty.
    pub upload_id: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Its bytes in the store; 0 where they were not looked at.
    pub bytes: u64,
    /// When it was last changed, µs since the Unix epoch by the store's clock; 0 where there is nothing.
    pub time_us: i64,
    /// Why it failed or could not be read.
    pub error: Option<Error>,
}

/// How many, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Uploads or objects.
    pub count: u64,
    /// Their bytes in the store, where they are known.
    pub bytes: u64,
}

/// What was found and done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    items: Vec<Item>,
    tallies: [Tally; Verdict::ALL.len()],
}

impl Report {
    /// Counts an item, and lists it while there is room.
    pub(super) fn add(&mut self, item: Item) {
        let tally = &mut self.tallies[item.verdict as usize - 1];
        tally.count += 1;
        tally.bytes += item.bytes;
        if self.items.len() < MOST_ITEMS {
            self.items.push(item);
        }
    }

    /// Adds what came after: the report of the next step, for whoever wants one of a whole sweep.
    pub fn append(&mut self, more: Report) {
        for (tally, more) in self.tallies.iter_mut().zip(&more.tallies) {
            tally.count += more.count;
            tally.bytes += more.bytes;
        }
        let room = MOST_ITEMS - self.items.len();
        self.items.extend(more.items.into_iter().take(room));
    }

    /// The items in the order in which they were met, 10,000 at most.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// How many ended so, those included that are not listed.
    pub fn tally(&self, verdict: Verdict) -> Tally {
        self.tallies[verdict as usize - 1]
    }

    /// How many there were in all.
    pub fn total(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_its_place_and_what_is_not_listed_is_counted() {
        for (i, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, i + 1);
        }
        let mut report = Report::default();
        let item = Item {
            name: "k".into(),
            upload_id: String::new(),
            verdict: Verdict::Removed,
            bytes: 3,
            time_us: 0,
            error: None,
        };
        for _ in 0..MOST_ITEMS + 5 {
            report.add(item.clone());
        }
        let count = MOST_ITEMS as u64 + 5;
        assert_eq!(report.items().len(), MOST_ITEMS);
        assert_eq!(report.tally(Verdict::Removed), Tally { count, bytes: 3 * count });
        assert_eq!((report.total(), report.tally(Verdict::Changed)), (count, Tally::default()));
    }
}
