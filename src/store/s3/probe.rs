//! What a store can do that its answers do not tell beforehand: create only where the key is free, take
//! checksums, encrypt.
//!
//! Amazon's S3 does all of it. Any other store is asked once, with a small object of its own
//! (`.seglift-probe-<uuid>` below the prefix, which no listing shows and which is removed again): a look-alike
//! may refuse a request that asks too much, but also ignore the condition, ignore the encryption, or keep the
//! framing of a trailer as if it were the object's bytes. None of that may be learnt with a segment.
//!
//! Invariant: an ability counts only when the store has shown it. One probe runs at a time for a bucket, and
//! what it found stays while any store on that bucket is open.
//!
//! Trade-off: four small requests before the first write of a process, and the credentials must allow a write
//! below the prefix (and, to leave nothing behind, a delete). Whoever minds says what the store can do:
//! `s3.conditional.writes` and `s3.trailers`.

use super::{
    S3Store,
    attributes::{Attributes, echo},
    body::{Integrity, header_value},
    connection::Connection,
    options::{Probe, S3Options},
    put::Failed,
};
use crate::{
    codec::checksum::crc32c,
    error::{Code, Error, Result},
    store::{Body, ByteStream, GetRange, Key, ObjectStore, UploadInfo, registry::Registry},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::{
    future::ready,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// What `If-None-Match: *` is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conditional {
    /// The store creates only where the key is free.
    Honoured,
    /// The store takes the header and overwrites.
    Ignored,
    /// The store refuses the header, or it is not to be used.
    Refused,
}

impl Conditional {
    /// Whether a creation is atomic.
    pub fn honoured(self) -> bool {
        self == Conditional::Honoured
    }

    /// Whether requests carry the condition. Where it is ignored it does no harm, and may be honoured one day.
    pub fn sends_condition(self) -> bool {
        self != Conditional::Refused
    }
}

/// What a store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    pub conditional: Conditional,
    pub integrity: Integrity,
}

/// Abilities that may not be known yet, shared by all stores on one bucket with the same settings.
pub(super) type Shared = Arc<OnceCell<Abilities>>;

static KNOWN: LazyLock<Registry<String, OnceCell<Abilities>>> = LazyLock::new(Registry::default);

/// The abilities of a bucket, known at once where nothing needs to be asked.
pub(super) fn shared(
    connection: &Connection,
    bucket: &str,
    options: &S3Options,
    attributes: &Attributes,
) -> Shared {
    let amazon = connection.is_amazon();
    let conditional = match (options.conditional_writes, amazon) {
        (Probe::On, _) | (Probe::Auto, true) => Some(Conditional::Honoured),
        (Probe::Off, _) => Some(Conditional::Refused),
        (Probe::Auto, false) => None,
    };
    let integrity = match (options.trailers, amazon) {
        // The SHA-256 that is signed needs a pass of its own, which gives the CRC as well.
        _ if options.payload_signing => Some(Integrity::Header),
        (Probe::On, _) | (Probe::Auto, true) => Some(Integrity::Trailer),
        (Probe::Off, _) => Some(Integrity::Header),
        (Probe::Auto, false) => None,
    };
    if let (Some(conditional), Some(integrity)) = (conditional, integrity)
        && (amazon || !attributes.encrypts())
    {
        return Arc::new(OnceCell::new_with(Some(Abilities { conditional, integrity })));
    }
    let asked = (options.conditional_writes, options.trailers, options.payload_signing);
    let name = format!("{} {bucket} {asked:?} {attributes:?}", connection.endpoint());
    KNOWN.of(name, |_| OnceCell::new())
}

/// How often the removal of a sample is tried, and the pauses in between. Nobody retries here but this: the store's
/// retries are around whole operations. An offload waits for it, so it is short.
const REMOVALS: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(200), Duration::ZERO];

/// A few bytes that are an object of their own.
struct Sample(Bytes);

impl Body for Sample {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self) -> ByteStream {
        stream::once(ready(Ok(self.0.clone()))).boxed()
    }

    fn crc32c(&self) -> Option<u32> {
        Some(crc32c(&self.0))
    }
}

/// How one way to put the sample ended.
enum Tried {
    /// The store did as told; the condition, where it was sent, is judged.
    Works(Conditional),
    /// The store does not know this way.
    Refused(Error),
}

impl S3Store {
    /// What the store can do. Asks it the first time.
    pub(super) async fn abilities(&self) -> Result<Abilities> {
        self.abilities.get_or_try_init(|| self.probe()).await.copied()
    }

    /// Tries what asks most first.
    async fn probe(&self) -> Result<Abilities> {
        let integrities: &[Integrity] = match self.options.trailers {
            _ if self.options.payload_signing => &[Integrity::Header],
            Probe::On => &[Integrity::Trailer],
            Probe::Off => &[Integrity::Header, Integrity::Nothing],
            Probe::Auto => &[Integrity::Trailer, Integrity::Header, Integrity::Nothing],
        };
        let conditions: &[bool] = match self.options.conditional_writes {
            Probe::On => &[true],
            Probe::Off => &[false],
            Probe::Auto => &[true, false],
        };
        let mut refusal = Error::new(Code::Internal, "a store was asked for nothing; please report this");
        for &condition in conditions {
            for &integrity in integrities {
                match self.try_way(integrity, condition).await.map_err(about)? {
                    Tried::Works(conditional) => return Ok(Abilities { conditional, integrity }),
                    Tried::Refused(error) => refusal = error,
                }
            }
        }
        Err(about(refusal))
    }

    async fn try_way(&self, integrity: Integrity, condition: bool) -> Result<Tried> {
        let id = Uuid::new_v4();
        let key = Key::of_probe(id);
        let info = UploadInfo { owner: String::new(), uuid: id.to_string(), user: Vec::new() };
        let mut versions = Vec::new();
        let tried = self.try_sample(&key, &info, integrity, condition, &mut versions).await;
        for version in &versions {
            self.remove_sample(&key, version.as_deref()).await;
        }
        tried
    }

    /// Removes a sample, unless that fails: it is small and no listing shows it, and the credentials may not allow more.
    async fn remove_sample(&self, key: &Key, version: Option<&str>) {
        for pause in REMOVALS {
            match self.remove(key, version).await {
                Err(e) if e.retryable() => tokio::time::sleep(pause).await,
                _ => return,
            }
        }
    }

    /// Notes in `versions` what it leaves behind.
    async fn try_sample(
        &self,
        key: &Key,
        info: &UploadInfo,
        integrity: Integrity,
        condition: bool,
        versions: &mut Vec<Option<String>>,
    ) -> Result<Tried> {
        let sample = Arc::new(Sample(format!("seglift asks what this store can do, {}", info.uuid).into()));
        let first = match self.put_once(key, info, sample.clone(), integrity, condition).await {
            Ok(output) => output,
            Err(failed) if refuses(&failed.error) => return Ok(Tried::Refused(failed.error)),
            // Nobody else knows the name, so the key is taken because the request came twice: the other one did it.
            Err(failed) if failed.error.http_status() == 412 => {
                versions.push(None);
                let what =
                    format!("something on the way has sent a request twice; try again: {}", failed.error);
                return Err(Error::new(Code::Unavailable, what));
            }
            Err(Failed { error, drained }) => {
                if drained {
                    versions.push(None);
                }
                return Err(error);
            }
        };
        versions.push(first.version_id().map(str::to_owned));
        pause!(ProbeInside);
        self.attributes.check_echo(echo!(first))?;
        let echoed = first.checksum_crc32_c() == sample.crc32c().map(header_value).as_deref();
        if integrity == Integrity::Trailer && !echoed && !self.is_there(key, &sample).await {
            let what = "the store keeps the framing of a checksum's trailer as part of the object";
            return Ok(Tried::Refused(Error::new(Code::InvalidConfig, what)));
        }
        if !condition || self.options.conditional_writes == Probe::On {
            let known = if condition { Conditional::Honoured } else { Conditional::Refused };
            return Ok(Tried::Works(known));
        }
        match self.put_once(key, info, sample, integrity, true).await {
            Ok(second) => {
                versions.push(second.version_id().map(str::to_owned));
                Ok(Tried::Works(Conditional::Ignored))
            }
            Err(failed) if failed.error.http_status() == 412 => Ok(Tried::Works(Conditional::Honoured)),
            Err(failed) => Err(failed.error),
        }
    }

    /// Whether the object reads back as it was sent. What cannot be read cannot be shown.
    async fn is_there(&self, key: &Key, sample: &Sample) -> bool {
        let Ok(get) = self.get(key, GetRange::Suffix(4 << 10)).await else { return false };
        get.collect().await.is_ok_and(|bytes| bytes == sample.0)
    }
}

/// Whether a store says that it does not know this kind of request. Stores that know no trailers see a payload
/// whose SHA-256 is not what the header says; very old ones see a signature that is wrong.
pub(super) fn refuses(error: &Error) -> bool {
    match error.service_code() {
        "SignatureDoesNotMatch" | "XAmzContentSHA256Mismatch" => true,
        "ExpiredToken" | "InvalidToken" | "AuthorizationHeaderMalformed" | "RequestTimeout" => false,
        _ => matches!(error.http_status(), 400 | 405 | 411 | 415 | 501),
    }
}

fn about(error: Error) -> Error {
    if error.service_code().is_empty() {
        return error;
    }
    // What passes, or names the setting that is wrong, needs no other advice.
    let is_clear =
        error.retryable() || error.code() == Code::InvalidConfig && !matches!(error.http_status(), 405 | 501);
    error.context(if is_clear {
        "seglift asks this store once what it can do, with an object of its own"
    } else {
        "seglift asks this store once what it can do, with an object of its own; s3.conditional.writes and \
         s3.trailers say it instead, and s3.payload.signing=true is for stores that insist on signed payloads"
    })
}
