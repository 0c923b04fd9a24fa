//! Going on with an upload that an earlier process began: ListParts, and a comparison of each part.
//!
//! Invariant: a part counts only if the store shows a checksum of it that is the one of our bytes: CRC32C where parts have
//! one, else the MD5 that the ETag of a part is where nothing but AES-256 encrypts it. An ETag that is something else never
//! compares equal to an MD5, and then the part is sent again.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html> (ETag)
//!
//! The first part is always sent again: it shows a reap of all owners, which cannot know who is at work, that somebody is.
//!
//! What an upload gets when it is begun (encryption, storage class, tags, kind of checksum) cannot be changed later. So its
//! id, as others see it, carries those terms: an upload of other terms than today's is aborted and not resumed.

use super::{
    S3Store,
    body::{Integrity, header_value},
    upload::{S3Upload, Stored},
};
use crate::{
    error::Result,
    store::{Body, Key, Upload, parts::crc32c_of},
};
use md5::{Digest, Md5};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// A part that the store has.
pub(super) struct There {
    len: u64,
    etag: String,
    /// As the store writes it.
    crc32c: Option<String>,
}

impl There {
    /// The MD5 that its ETag may be.
    fn md5(&self) -> Option<String> {
        let hex = self.etag.trim_matches('"');
        let looks = hex.len() == 32 && hex.bytes().all(|c| c.is_ascii_hexdigit());
        looks.then(|| hex.to_ascii_lowercase())
    }
}

/// What the id of an upload says to others: `1-<c|n><s|u>-<terms>-<id>`.
#[derive(Debug, PartialEq, Eq)]
struct Id<'a> {
    /// Its parts have checksums.
    checksums: bool,
    /// Its begin has shown the encryption that was asked for.
    shown: bool,
    /// [`Attributes::terms`](super::attributes::Attributes::terms).
    terms: u64,
    /// What the service knows it by.
    upload: &'a str,
}

impl Id<'_> {
    fn text(&self) -> String {
        let Id { checksums, shown, terms, upload } = self;
        let checksums = if *checksums { 'c' } else { 'n' };
        let shown = if *shown { 's' } else { 'u' };
        format!("1-{checksums}{shown}-{terms:016x}-{upload}")
    }

    fn of(text: &str) -> Option<Id<'_>> {
        let mut fields = text.splitn(4, '-');
        let ("1", flags, terms, upload) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?)
        else {
            return None;
        };
        let (checksums, shown) = match flags {
            "cs" => (true, true),
            "cu" => (true, false),
            "ns" => (false, true),
            "nu" => (false, false),
            _ => return None,
        };
        let terms = u64::from_str_radix(terms, 16).ok()?;
        (!upload.is_empty()).then_some(Id { checksums, shown, terms, upload })
    }
}

impl S3Store {
    /// See [`ObjectStore::resume`](crate::store::ObjectStore::resume).
    pub(super) async fn resume_upload(&self, key: &Key, id: &str) -> Result<Option<Box<dyn Upload>>> {
        let Some(id) = Id::of(id) else { return Ok(None) };
        let abilities = self.abilities().await?;
        let same = id.terms == self.attributes.terms()
            && (!id.checksums || abilities.integrity != Integrity::Nothing);
        let integrity = if id.checksums { abilities.integrity } else { Integrity::Nothing };
        let mut upload = self.upload(key, id.upload, abilities.conditional, integrity, id.shown);
        if !same {
            // What cannot be aborted now reap will find.
            let _ = upload.abort().await;
            return Ok(None);
        }
        let mut there = HashMap::new();
        let object_key = self.place.object_key(key);
        let found = self.each_part(&object_key, id.upload, |part| {
            let number = part.part_number().and_then(|number| u32::try_from(number).ok()?.checked_sub(1));
            let len = part.size().and_then(|len| u64::try_from(len).ok());
            let etag = part.e_tag().filter(|etag| !etag.is_empty());
            let (Some(number), Some(len), Some(etag)) = (number, len, etag) else {
                return Err("does not say which part is how long");
            };
            let crc32c = part.checksum_crc32_c().map(str::to_owned);
            there.insert(number, There { len, etag: etag.to_owned(), crc32c });
            Ok(())
        });
        if !found.await? {
            return Ok(None);
        }
        upload.there = there;
        Ok(Some(Box::new(upload)))
    }
}

impl S3Upload {
    /// See [`Upload::id`].
    pub(super) fn resume_id(&self) -> String {
        let id = Id {
            checksums: self.integrity != Integrity::Nothing,
            shown: self.encryption_shown,
            terms: self.attributes.terms(),
            upload: &self.id,
        };
        id.text()
    }

    /// See [`Upload::has_part`].
    pub(super) async fn compare_part(&self, number: u32, offset: u64, body: Arc<dyn Body>) -> Result<bool> {
        // By the time of its newest part reap tells an upload under way from one that nobody ends. Comparing moves nothing,
        // so the first part is sent again, whatever is there.
        if number == 0 {
            return Ok(false);
        }
        let Some(there) = self.there.get(&number).filter(|there| there.len == body.len()) else {
            return Ok(false);
        };
        // Encryption that was asked for must be shown, and in a list of parts nobody shows it.
        if !self.encryption_shown && !self.part_shows_encryption.load(Relaxed) {
            return Ok(false);
        }
        let md5 = if there.crc32c.is_none() { there.md5() } else { None };
        if there.crc32c.is_none() && md5.is_none() {
            return Ok(false);
        }
        let mut hash = md5.is_some().then(Md5::new);
        let each = |piece: &[u8]| hash.iter_mut().for_each(|hash| hash.update(piece));
        let crc32c = header_value(crc32c_of(&self.key, &*body, each).await?);
        let same = match (&there.crc32c, &md5, hash) {
            (Some(theirs), ..) => *theirs == crc32c,
            (None, Some(theirs), Some(ours)) => *theirs == hex(&ours.finalize()),
            _ => false,
        };
        if same {
            let crc32c = (self.integrity != Integrity::Nothing).then_some(crc32c);
            let stored = Stored { etag: there.etag.clone(), crc32c };
            self.state.lock().parts.arrived(number, offset, there.len, stored);
        }
        Ok(same)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_on_what_terms_its_upload_was_begun() {
        for (checksums, shown) in [(true, true), (true, false), (false, true), (false, false)] {
            let id = Id { checksums, shown, terms: 0x0123_4567_89ab_cdef, upload: "a-b-c" };
            assert_eq!(Id::of(&id.text()), Some(id));
        }
        for other in ["", "1", "1-cs-0", "1-cs-0-", "2-cs-0-a", "1-xx-0-a", "1-cs-x-a", ".seglift-upload-0-0"]
        {
            assert_eq!(Id::of(other), None, "{other}");
        }
    }

    #[test]
    fn only_an_etag_that_can_be_an_md5_is_compared_with_one() {
        let md5 = |etag: &str| There { len: 0, etag: etag.into(), crc32c: None }.md5();
        let known = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(md5(known).as_deref(), Some(known));
        assert_eq!(md5(&format!("\"{}\"", known.to_uppercase())).as_deref(), Some(known));
        assert_eq!(md5("\"d41d8cd98f00b204e9800998ecf8427e-2\""), None);
        assert_eq!(md5("\"0000\""), None);
        assert_eq!(hex(&Md5::digest(b"")), known);
    }
}
