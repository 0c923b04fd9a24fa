//! From a reference to a segment: which store, and where the tail is.
//!
//! With a receipt's token the tail is in the cache, or takes one exact request. Without, the object's last bytes
//! are asked for, which nearly always hold the tail; a huge one takes a second request. Neither HEAD nor LIST.
//!
//! Both requests take some bytes in front of the tail frame along, because the index pages stand there: a request
//! costs as much as a mebibyte of bytes, so the first read of most segments asks nothing extra for its index.
//!
//! Trade-off: without a token every read begins with a request, however warm the cache is. What stands under a
//! key can change (deleted, written again), what a token names cannot. Hosts that keep receipts pay nothing.

use super::{
    Reader, SegmentRef,
    fill::twice,
    segment::{Place, Segment, another_object},
    shared::{Shared, Value, page_key, tail_key},
};
use crate::{
    engine::{Op, Reservation},
    error::{Code, Error, Result},
    object::{Located, Page, Tail, Token, locate_tail},
    store::{GetRange, Key},
};
use std::{ops::Range, sync::Arc};

/// The last bytes of an object that are asked for: the tail and the index of some 10,000 blocks, and still less
/// than what a request costs.
const SUFFIX: u64 = 64 << 10;
/// Bytes in front of the tail frame that come along with a token: four index pages, which serve segments of 256 MiB
/// (codec none) to 600 MiB (zstd); more would only delay the tail.
const INDEX_ALONG: u64 = 16 << 10;
/// Memory of parsed tails and pages for each byte that they were parsed from, at most: an entry of a byte-mode page
/// without a codec takes 4 bytes stored and 24 parsed, and the stored bytes are held meanwhile.
pub(super) const PARSED: usize = 8;

impl Reader {
    /// The segment that `r` names.
    ///
    /// `INVALID_ARGUMENT` for a bad key or a damaged token, `WRONG_STORE` where the token is of a store that is
    /// neither this driver's nor one of `store.previous`, `CORRUPT` where another object stands under the key.
    pub(super) async fn find(&self, op: &Op, r: &SegmentRef) -> Result<Segment> {
        let key = Key::new(&r.key)?;
        op.stage("tail");
        match &r.token {
            Some(token) => self.find_by_token(op, key, Token::decode(token)?).await,
            None => self.find_by_key(op, key).await,
        }
    }

    /// The store that the token names.
    pub(super) fn place_of(&self, token: &Token) -> Result<&Place> {
        self.places.iter().find(|place| place.fingerprint == token.store_fingerprint).ok_or_else(|| {
            let own = self.places[0].store.uri();
            let what =
                format!("the receipt was given by another store than {own}; add its URI to store.previous");
            Error::new(Code::WrongStore, what)
        })
    }

    async fn find_by_token(&self, op: &Op, key: Key, token: Token) -> Result<Segment> {
        let place = self.place_of(&token)?.clone();
        let need = (u64::from(token.tail_len) + INDEX_ALONG) as usize * PARSED;
        let (source, name, shared) = (place.clone(), key.clone(), self.shared.clone());
        let fetch = move |held| async move {
            let found = twice(&shared, || fetch_tail(&source, &name, &token)).await?;
            Ok(Value::Tail(shared.keep_tail(found, held)))
        };
        match self.fill(op, tail_key(token.id), need, fetch).await? {
            Value::Tail(tail) if is_of(&token, &tail) => Ok(self.segment(key, place, tail)),
            _ => Err(another_object(&key, token.id)),
        }
    }

    async fn find_by_key(&self, op: &Op, key: Key) -> Result<Segment> {
        let place = self.places[0].clone();
        let (found, held) = twice(&self.shared, || self.search(op, &place, &key)).await?;
        let tail = self.shared.keep_tail(found, held);
        Ok(self.segment(key, place, tail))
    }

    /// The segment that `r` names, as the store has it now and without a trace in the cache: for whoever reads
    /// everything once.
    ///
    /// The errors of [`find`](Reader::find).
    pub(super) async fn find_fresh(&self, op: &Op, r: &SegmentRef) -> Result<Segment> {
        let key = Key::new(&r.key)?;
        op.stage("tail");
        let Some(token) = &r.token else {
            let place = self.places[0].clone();
            let (found, _held) = twice(&self.shared, || self.search(op, &place, &key)).await?;
            return Ok(self.segment(key, place, found.tail));
        };
        let token = Token::decode(token)?;
        let place = self.place_of(&token)?.clone();
        let _held = self.reserve(op, (u64::from(token.tail_len) + INDEX_ALONG) as usize * PARSED).await?;
        let found = op.guard(twice(&self.shared, || fetch_tail(&place, &key, &token))).await?;
        Ok(self.segment(key, place, found.tail))
    }

    /// What the tail of the object under `key` says, as the store has it now and without a trace in the cache: for
    /// whoever wants to know whose object it is, and not to read it.
    ///
    /// `NOT_FOUND`, `CORRUPT` where it is no object of ours, `UNSUPPORTED_VERSION`, and what the store says.
    pub async fn tail(&self, op: &Op, key: &Key) -> Result<Arc<Tail>> {
        self.search(op, &self.places[0], key).await.map(|(found, _)| found.tail)
    }

    /// The tail of whatever object stands under the key, and the memory for it.
    async fn search(&self, op: &Op, place: &Place, key: &Key) -> Result<(Found, Reservation)> {
        let held = self.reserve(op, SUFFIX as usize * PARSED).await?;
        let range = match op.guard(look_at_end(place, key)).await? {
            Looked::Found(found) => return Ok((found, held)),
            Looked::Elsewhere(range) => range,
        };
        // One reservation at a time: nobody waits for memory while holding some.
        drop(held);
        let held = self.reserve(op, (range.end - range.start) as usize * PARSED).await?;
        let found = op.guard(async {
            let get = place.get(key, GetRange::Range(range.clone())).await?;
            let object_len = get.object_len;
            if get.range != range {
                // The object is shorter now: another one.
                let what = format!("key \"{key}\" holds another object than a moment ago; try again");
                return Err(Error::new(Code::Corrupt, what));
            }
            found(key, get.collect().await?, range.start, range.start, object_len)
        });
        Ok((found.await?, held))
    }

    fn segment(&self, key: Key, place: Place, tail: Arc<Tail>) -> Segment {
        Segment::new(key, place, tail, self.shared.clone())
    }
}

/// A tail, and the bytes in front of it that came along.
struct Found {
    tail: Arc<Tail>,
    /// They end where the tail begins.
    before: Vec<u8>,
    /// Where they begin in the object.
    start: u64,
}

/// What the end of an object shows.
enum Looked {
    Found(Found),
    /// The tail lies further in front, there.
    Elsewhere(Range<u64>),
}

/// The tail at `position` in `bytes`, which begin at `start` of the object and end with the tail.
fn found(key: &Key, mut bytes: Vec<u8>, start: u64, position: u64, object_len: u64) -> Result<Found> {
    let before = (position - start) as usize;
    let tail = Tail::parse(&bytes[before..], position, object_len).map_err(|e| not_ours(key, e))?;
    bytes.truncate(before);
    Ok(Found { tail: Arc::new(tail), before: bytes, start })
}

async fn look_at_end(place: &Place, key: &Key) -> Result<Looked> {
    let get = place.get(key, GetRange::Suffix(SUFFIX)).await?;
    let (start, object_len) = (get.range.start, get.object_len);
    if get.range.end != object_len || get.range.end - start > SUFFIX {
        let what = "the store was asked for the end of an object and answers with something else; look at what stands \
                    between it and seglift";
        return Err(Error::new(Code::Unavailable, what).context(format_args!("key \"{key}\"")));
    }
    let mut suffix = get.collect().await?;
    match locate_tail(&suffix, object_len).map_err(|e| not_ours(key, e))? {
        Located::Here { within, position } => {
            suffix.truncate(within.end);
            found(key, suffix, start, position, object_len).map(Looked::Found)
        }
        Located::Fetch(range) => Ok(Looked::Elsewhere(range)),
    }
}

/// The tail that `token` speaks of, and the index pages in front of it, from the store.
async fn fetch_tail(place: &Place, key: &Key, token: &Token) -> Result<Found> {
    let start = token.tail_position.saturating_sub(INDEX_ALONG);
    let end = token.tail_position + u64::from(token.tail_len);
    let another = || another_object(key, token.id);
    let get = match place.get(key, GetRange::Range(start..end)).await {
        Err(e) if e.code() == Code::OutOfRange => return Err(another()),
        get => get?,
    };
    if get.object_len != token.object_len || get.range.end != end {
        return Err(another());
    }
    let found = found(key, get.collect().await?, start, token.tail_position, token.object_len)?;
    if is_of(token, &found.tail) { Ok(found) } else { Err(another()) }
}

fn is_of(token: &Token, tail: &Tail) -> bool {
    (token.id, token.tail_crc32c, token.object_len) == (tail.id(), tail.crc32c(), tail.object_len())
}

fn not_ours(key: &Key, error: Error) -> Error {
    error.context(format_args!("key \"{key}\" does not hold a sound seglift object"))
}

impl Shared {
    /// Keeps a tail, and those index pages that came along whole. A damaged page is left to the read that needs it.
    fn keep_tail(&self, found: Found, mut held: Reservation) -> Arc<Tail> {
        let Found { tail, before, start } = found;
        for (n, entry) in tail.pages().iter().enumerate().rev() {
            let Some(at) = entry.position.start.checked_sub(start) else { break };
            let within = at as usize..(entry.position.end - start) as usize;
            if let Some(page) = before.get(within).and_then(|bytes| Page::parse(bytes, &tail, n).ok()) {
                let share = held.split(page.memory() as u64);
                self.keep(page_key(tail.id(), n), Value::Page(Arc::new(page)), share);
            }
        }
        self.keep(tail_key(tail.id()), Value::Tail(tail.clone()), held);
        tail
    }
}
