//! What a verification found: counts, and where the damage is.
//!
//! Invariant: what no [`Damage`] covers was read and passed all its checksums, so [`VerifyReport::good_bytes`] never
//! names a byte that cannot be read. Trade-off: the list is bounded. Past its bound the last stretch grows over what
//! is sound between two damages, so that a report of a ruined object of 2^26 blocks still fits memory and still claims
//! nothing that is not so.

use crate::error::{Code, Error, Result};
use std::ops::Range;

/// Most stretches of damaged data that a report lists: about 3 MiB.
const MOST: usize = 10_000;

/// Which part of an object is damaged. The numbers never change their meaning.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The tail, without which nothing is found. `seglift cat --salvage` may still save blocks.
    Tail = 1,
    /// An index page: its blocks cannot be found, and may be sound themselves.
    Index = 2,
    /// Blocks.
    Block = 3,
    /// An attachment.
    Attachment = 4,
    /// The header of a frame between the parts. Reading does without; stock zstd does not.
    Frame = 5,
    /// The zstd seek table. Reading does without; seekable-format tools do not.
    SeekTable = 6,
    /// Every block is sound, and together they are not the content that the tail promises.
    Content = 7,
}

impl Part {
    /// Every part, in the order of its number.
    pub const ALL: &'static [Part] = &[
        Part::Tail,
        Part::Index,
        Part::Block,
        Part::Attachment,
        Part::Frame,
        Part::SeekTable,
        Part::Content,
    ];

    /// The part as `--json` and people spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Tail => "tail",
            Part::Index => "index",
            Part::Block => "block",
            Part::Attachment => "attachment",
            Part::Frame => "frame",
            Part::SeekTable => "seek-table",
            Part::Content => "content",
        }
    }
}

/// A stretch of an object that is not as it was written.
#[derive(Clone, Debug)]
pub struct Damage {
    /// Which part it is.
    pub part: Part,
    /// Where it stands in the object; empty where that is not known.
    pub stored: Range<u64>,
    /// Bytes of the segment that cannot be read for it; empty if none.
    pub raw: Range<u64>,
    /// First and last id of the records that cannot be read for it, both included.
    pub records: Option<(u64, u64)>,
    /// Blocks that cannot be read for it.
    pub blocks: u64,
    /// The attachment's name, else empty.
    pub attachment: String,
    /// What is wrong; of several neighbours, with the first.
    pub error: Error,
}

impl Damage {
    /// Of `part` at `stored`, from which no byte of the segment depends.
    pub(super) fn beside(part: Part, stored: Range<u64>, error: Error) -> Self {
        Damage { part, stored, raw: 0..0, records: None, blocks: 0, attachment: String::new(), error }
    }

    /// Grows over `next`, which comes behind it.
    fn join(&mut self, next: &Damage) {
        self.stored.end = self.stored.end.max(next.stored.end);
        self.raw.end = next.raw.end;
        self.blocks += next.blocks;
        self.records = match (self.records, next.records) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (one, other) => one.or(other),
        };
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Blocks that the index lists.
    pub blocks: u64,
    /// Blocks that are damaged, or whose index page is.
    pub bad_blocks: u64,
    /// Raw bytes of the segment.
    pub segment_bytes: u64,
    /// Bytes of the object.
    pub object_bytes: u64,
    /// Records that were walked; 0 in byte mode.
    pub records: u64,
    /// First and last id that the segment has in record mode, both included.
    pub ids: Option<(u64, u64)>,
    /// Attachments that the tail lists.
    pub attachments: u64,
    /// Attachments that are damaged.
    pub bad_attachments: u64,
    /// The first damage that was found; `None` if all is well.
    pub first_error: Option<Error>,
    /// Where the damage is: blocks and index pages first, in the order of the segment, neighbours in one. At most
    /// 10,000 stretches of the segment; past them the last one grows over what is sound in between.
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    /// Stretches of the segment that can be read, in order. None if the tail is lost.
    pub fn good_bytes(&self) -> Vec<Range<u64>> {
        let (mut good, mut at) = (Vec::new(), 0);
        for raw in self.damage.iter().map(|damage| &damage.raw).filter(|raw| !raw.is_empty()) {
            if at < raw.start {
                good.push(at..raw.start);
            }
            at = at.max(raw.end);
        }
        if at < self.segment_bytes {
            good.push(at..self.segment_bytes);
        }
        good
    }

    /// Record mode: first and last id, both included, of the stretches whose records can be read. Ids may have gaps.
    pub fn good_records(&self) -> Vec<(u64, u64)> {
        let Some((first, last)) = self.ids else { return Vec::new() };
        let (mut good, mut next) = (Vec::new(), Some(first));
        for (bad_first, bad_last) in self.damage.iter().filter_map(|damage| damage.records) {
            if let Some(at) = next.filter(|&at| at < bad_first) {
                good.push((at, bad_first - 1));
            }
            next = bad_last.checked_add(1);
        }
        good.extend(next.filter(|&at| at <= last).map(|at| (at, last)));
        good
    }

    /// Takes damage into account; neighbouring blocks become one stretch.
    pub(super) fn add(&mut self, damage: Damage) {
        self.first_error.get_or_insert_with(|| damage.error.clone());
        self.bad_blocks += damage.blocks;
        let full = self.damage.len() >= MOST;
        match self.damage.last_mut() {
            Some(last)
                if damage.blocks > 0
                    && last.blocks > 0
                    && (full || (last.part == damage.part && last.raw.end == damage.raw.start)) =>
            {
                last.join(&damage);
            }
            _ => self.damage.push(damage),
        }
    }

    /// Takes what was tried: its value, damage, or the error that ends the run.
    pub(super) fn note<T>(
        &mut self,
        result: Result<T>,
        damage: impl FnOnce(Error) -> Damage,
    ) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(e) if e.code() == Code::Corrupt => {
                self.add(damage(e));
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(n: u64) -> Damage {
        Damage {
            part: Part::Block,
            stored: n * 10..n * 10 + 10,
            raw: n * 100..n * 100 + 100,
            records: Some((n * 5, n * 5 + 3)),
            blocks: 1,
            attachment: String::new(),
            error: Error::new(Code::Corrupt, format!("block {n}")),
        }
    }

    #[test]
    fn neighbours_are_one_stretch_and_what_lies_between_stretches_is_good() {
        let mut report = VerifyReport { segment_bytes: 1000, ids: Some((0, 60)), ..VerifyReport::default() };
        let whole = 0..1000;
        assert_eq!(report.good_bytes(), [whole]);
        assert_eq!(report.good_records(), [(0, 60)]);
        for n in [0, 3, 4, 9] {
            report.add(block(n));
        }
        report.add(Damage::beside(Part::SeekTable, 5000..5100, Error::new(Code::Corrupt, "table")));
        assert_eq!(report.bad_blocks, 4);
        assert_eq!(report.damage.len(), 4);
        assert_eq!(report.good_bytes(), [100..300, 500..900]);
        assert_eq!(report.good_records(), [(4, 14), (24, 44), (49, 60)]);
        assert_eq!(report.first_error.unwrap().message(), "block 0");
    }

    #[test]
    fn a_list_that_is_full_claims_too_much_damage_and_never_too_little() {
        let mut report = VerifyReport { segment_bytes: u64::MAX, ..VerifyReport::default() };
        let count = MOST as u64 + 100;
        (0..count).for_each(|n| report.add(block(2 * n)));
        assert_eq!((report.damage.len(), report.bad_blocks), (MOST, count));
        let good = report.good_bytes();
        assert!((0..count).all(|n| good.iter().all(|g| g.end <= 200 * n || g.start >= 200 * n + 100)));
    }
}
