//! What can be asked of a driver, and whether what came of it is right.

use crate::{
    book::{Book, Content, NOISE, RECORD},
    faults::Dice,
};
use seglift::{
    Driver, Outcome, Result,
    buf::{LentBuf, LentSource},
    codec::Codec,
    engine::{Call, Slot},
    maintain::{ReapOptions, SweepOptions},
    reader::SegmentRef,
    writer::{Attachment, AttachmentData, Segment, Source},
};
use std::{path::Path, time::Duration};

/// Longer than any deadline here, and so than the time from the list of live keys until the sweep looks at the clock.
const GRACE: Duration = Duration::from_secs(10);

/// Bytes of the attachment that every offloaded segment of bytes has.
const ATTACHED: usize = 700;

/// A call to make.
pub enum Action {
    Offload { key: String, content: Content, source: u64, zstd: bool },
    Range { of: SegmentRef, content: Content, offset: usize, len: usize },
    Bytes { of: SegmentRef, content: Content, offset: usize, len: usize },
    Records { of: SegmentRef, content: Content, first: usize },
    Attachment { of: SegmentRef, content: Content },
    Stat { of: SegmentRef, content: Content },
    Verify { of: SegmentRef, content: Content },
    Object { of: SegmentRef },
    Delete { keys: Vec<String> },
    List { after: String },
    Reap,
    Sweep { live: Vec<String> },
}

/// What became of making it.
pub enum Started {
    /// It ends in the queue.
    Submitted(u64),
    /// It was refused and ends nowhere.
    Refused(seglift::Error),
    Ended(Result<Outcome>),
}

impl Action {
    /// Something to do.
    pub fn roll(dice: &mut Dice, book: &Book) -> Action {
        let kind = dice.below(100);
        if book.population() < 20 || (kind < 18 && book.population() < 250) {
            let (key, content) = book.attempt(dice, false);
            return Action::Offload { key, content, source: dice.below(3), zstd: dice.chance(50) };
        }
        let Some((of, content)) = book.readable(dice) else {
            return Action::List { after: String::new() };
        };
        let offset = dice.below(content.len as u64 + 1) as usize;
        let len = dice.below(60_000) as usize;
        match kind {
            _ if content.records && kind < 80 => Action::Records { of, content, first: offset / RECORD },
            0..22 => {
                let mut keys = vec![of.key];
                keys.extend(book.readable(dice).map(|(of, _)| of.key).filter(|key| *key != keys[0]));
                Action::Delete { keys }
            }
            22..52 => Action::Range { of, content, offset, len },
            52..72 => Action::Bytes { of, content, offset, len },
            72..77 if !content.records => Action::Attachment { of, content },
            72..82 => Action::Stat { of, content },
            82..89 => Action::Verify { of, content },
            89..93 => Action::Object { of },
            93..97 => Action::List { after: of.key },
            97 | 98 => Action::Reap,
            _ => Action::Sweep { live: book.keys() },
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Action::Offload { .. } => "offload",
            Action::Range { .. } => "read",
            Action::Bytes { .. } => "read bytes",
            Action::Records { .. } => "read records",
            Action::Attachment { .. } => "attachment",
            Action::Stat { .. } => "stat",
            Action::Verify { .. } => "verify",
            Action::Object { .. } => "object",
            Action::Delete { .. } => "delete",
            Action::List { .. } => "list",
            Action::Reap => "reap",
            Action::Sweep { .. } => "sweep",
        }
    }

    /// The key that must be there for it.
    pub fn reads(&self) -> Option<&str> {
        match self {
            Action::Range { of, .. }
            | Action::Bytes { of, .. }
            | Action::Records { of, .. }
            | Action::Attachment { of, .. }
            | Action::Stat { of, .. }
            | Action::Verify { of, .. }
            | Action::Object { of } => Some(&of.key),
            _ => None,
        }
    }

    /// Makes the call: waits for it, or submits it where there is a slot. `dest` is what a submitted read fills.
    pub fn start(
        &self,
        driver: &Driver,
        folder: &Path,
        dest: &LentBuf,
        call: &Call,
        slot: Option<Slot<Outcome>>,
    ) -> Started {
        macro_rules! go {
            ($call:ident, $submit:ident ($($arg:expr),*) => $outcome:expr) => {
                match slot {
                    None => Started::Ended(driver.$call($($arg,)* call).map($outcome)),
                    Some(slot) => submitted(driver.$submit($($arg,)* call, slot)),
                }
            };
        }
        match self {
            Action::Offload { key, content, source, zstd } => {
                let segment = segment(key, content, *source, *zstd, folder);
                go!(offload, offload_submit(segment) => |receipt| Outcome::Receipt(Box::new(receipt)))
            }
            // A call that waits has the memory of its caller, and is made there.
            Action::Range { of, offset, .. } => {
                let slot = slot.expect("it was lent memory");
                submitted(driver.read_range_submit(of, *offset as u64, dest.clone(), call, slot))
            }
            Action::Bytes { of, offset, len, .. } => {
                go!(read_range_bytes, read_range_bytes_submit(of, *offset as u64, *len as u64) => Outcome::Bytes)
            }
            Action::Records { of, first, .. } => {
                go!(read_records, read_records_submit(of, 2 * *first as u64, 40, 30_000) => Outcome::Records)
            }
            Action::Attachment { of, .. } => {
                go!(read_attachment, read_attachment_submit(of, "index") => Outcome::Bytes)
            }
            Action::Stat { of, .. } => go!(stat, stat_submit(of) => |stat| Outcome::Stat(Box::new(stat))),
            Action::Verify { of, .. } => {
                go!(verify, verify_submit(of) => |report| Outcome::Verified(Box::new(report)))
            }
            Action::Object { of } => {
                go!(object_range, object_range_submit(&of.key, 0, 999) => Outcome::Bytes)
            }
            Action::Delete { keys } => go!(delete, delete_submit(keys) => Outcome::Deleted),
            Action::List { after } => go!(list, list_submit("topic-", Some(after), 50) => Outcome::Listed),
            Action::Reap => {
                let hour = Duration::from_secs(3600);
                let options = ReapOptions { older_than: hour, dry_run: false, all_owners: false };
                go!(reap, reap_submit(options) => |report| Outcome::Reaped(Box::new(report)))
            }
            Action::Sweep { live } => {
                // Everything that was ever tried is alive; what came after the list is younger than the grace.
                let options = SweepOptions { prefix: "topic-".to_owned(), grace: GRACE, delete: true };
                match (driver.sweep(options), slot) {
                    (Ok(sweep), None) => Started::Ended(
                        sweep.feed(live.clone(), call).map(|step| Outcome::Swept(Box::new(step))),
                    ),
                    (Ok(sweep), Some(slot)) => submitted(sweep.feed_submit(live.clone(), call, slot)),
                    (Err(e), None) => Started::Ended(Err(e)),
                    (Err(e), Some(slot)) => {
                        slot.withdraw();
                        Started::Refused(e)
                    }
                }
            }
        }
    }

    /// Whether what came of it is right.
    pub fn check(&self, outcome: &Outcome, dest: &LentBuf, book: &Book) {
        match (self, outcome) {
            (Action::Offload { content, .. }, Outcome::Receipt(receipt)) => {
                assert_eq!(receipt.segment_bytes as usize, content.len);
            }
            (Action::Range { content, offset, len, .. }, Outcome::Read(n)) => {
                assert_eq!(*n, (*len).min(content.len - offset));
                // Where it was lent for a submit, it is given back before the completion comes.
                assert!(dest.is_empty() || dest.is_revoked());
            }
            (Action::Bytes { content, offset, len, .. }, Outcome::Bytes(bytes)) => {
                same(content, *offset, *len, bytes);
            }
            (Action::Records { content, first, .. }, Outcome::Records(batch)) => {
                assert_eq!(batch.is_empty(), *first >= content.record_count());
                for (n, found) in batch.records().enumerate() {
                    let wanted = content.record(first + n);
                    let right = found.id == wanted.id
                        && found.time_us == wanted.time_us
                        && found.payload == wanted.payload;
                    assert!(right, "record {} of {}", found.id, self.reads().unwrap_or_default());
                }
            }
            (Action::Attachment { content, .. }, Outcome::Bytes(bytes)) => {
                assert!(**bytes == NOISE[content.start / 2..][..ATTACHED], "another attachment");
            }
            (Action::Stat { content, .. }, Outcome::Stat(stat)) => {
                assert_eq!(stat.records() as usize, content.record_count());
                assert!(content.records || stat.segment_bytes() as usize == content.len);
            }
            // Bits that flip twice on their way are damage to whoever reads them.
            (Action::Verify { content, .. }, Outcome::Verified(report)) => {
                let good = report.first_error.is_none();
                assert!(!good || report.bad_blocks == 0 && report.records as usize == content.record_count());
            }
            (Action::Object { .. }, Outcome::Bytes(_)) => {}
            (Action::Delete { keys }, Outcome::Deleted(answers)) => {
                assert_eq!(answers.len(), keys.len());
                for (key, _) in keys.iter().zip(answers).filter(|(_, answer)| answer.is_ok()) {
                    book.deleted(key);
                }
            }
            (Action::List { after }, Outcome::Listed(page)) => {
                assert!(page.entries.len() <= 50 && page.entries.is_sorted_by(|a, b| a.key < b.key));
                for entry in &page.entries {
                    assert!(
                        entry.key.as_str() > after.as_str() && book.knows(entry.key.as_str()),
                        "{}",
                        entry.key
                    );
                }
            }
            (Action::Reap, Outcome::Reaped(_)) | (Action::Sweep { .. }, Outcome::Swept(_)) => {}
            (_, other) => panic!("{} ended as {other:?}", self.name()),
        }
    }
}

fn submitted(submitted: Result<u64>) -> Started {
    match submitted {
        Ok(op) => Started::Submitted(op),
        Err(e) => Started::Refused(e),
    }
}

/// `found` is the content from `offset` on, `len` bytes or up to its end.
#[track_caller]
pub fn same(content: &Content, offset: usize, len: usize, found: &[u8]) {
    let wanted = content.bytes().slice(offset..content.len.min(offset + len));
    let differs = found.iter().zip(&wanted).position(|(a, b)| a != b);
    assert_eq!(
        (found.len(), differs),
        (wanted.len(), None),
        "length, and the first byte that differs, {content:?}"
    );
}

fn segment(key: &str, content: &Content, source: u64, zstd: bool, folder: &Path) -> Segment {
    let source = match source {
        0 => Source::Bytes(content.bytes()),
        1 => Source::Lent(LentSource::owned(content.bytes())),
        _ => Source::Path {
            path: folder.join("noise"),
            offset: content.start as u64,
            len: Some(content.len as u64),
        },
    };
    Segment {
        codec: Some(if zstd { Codec::Zstd } else { Codec::None }),
        attachments: attachments(content),
        ..Segment::new(key, source)
    }
}

/// What travels with a content, however it comes to the store.
pub fn attachments(content: &Content) -> Vec<Attachment> {
    let index = NOISE.slice(content.start / 2..content.start / 2 + ATTACHED);
    let index = Attachment { name: "index".to_owned(), data: AttachmentData::Bytes(index) };
    if content.records { Vec::new() } else { vec![index] }
}
