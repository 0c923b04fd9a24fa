//! What a broker does to a bucket, once each: create, read back, refuse to overwrite, upload in parts, list, delete.

use super::{
    super::{
        attributes::Echo, body::Integrity, errors::Action, exchange::Exchange, options::Sse,
        probe::Conditional,
    },
    Exam, Sheet, state,
};
use crate::{
    codec::checksum::Crc32c,
    error::{Code, Error, Result},
    store::{
        Body, ByteStream, GetRange, Key, ObjectStore, Upload,
        doctor::{Access, Finding, objects, objects::shown, within},
    },
};
use aws_sdk_s3::types::ServerSideEncryption;
use bytes::Bytes;
use futures_util::stream;
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Instant,
};

/// The smallest part that S3 takes in front of another.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const PART: usize = 5 << 20;
/// In pieces of so many bytes, which is what the store's own bodies have.
const PIECE: usize = 256 << 10;

/// Zeros in pieces, with their checksum or another.
struct Zeros {
    pieces: usize,
    crc32c: u32,
}

impl Zeros {
    fn new(len: usize) -> Zeros {
        let (piece, pieces) = ([0; PIECE], len / PIECE);
        let mut sum = Crc32c::new();
        (0..pieces).for_each(|_| sum.update(&piece));
        Zeros { pieces, crc32c: sum.finalize() }
    }

    fn with_wrong_checksum(mut self) -> Zeros {
        self.crc32c = !self.crc32c;
        self
    }
}

impl Body for Zeros {
    fn len(&self) -> u64 {
        (self.pieces * PIECE) as u64
    }

    fn open(&self) -> ByteStream {
        let piece = Bytes::from(vec![0; PIECE]);
        Box::pin(stream::iter(std::iter::repeat_n(piece, self.pieces).map(Ok)))
    }

    fn crc32c(&self) -> Option<u32> {
        Some(self.crc32c)
    }
}

/// What a HEAD of one of our objects shows.
pub(super) struct Seen {
    /// The object's version, where the bucket keeps versions.
    pub version: Option<String>,
    encryption: Option<ServerSideEncryption>,
    kms_key: Option<String>,
    customer_md5: Option<String>,
}

impl Exam<'_> {
    /// Everything that changes the bucket. The error is why nothing else can be checked.
    pub(super) async fn writes(&self, access: Access, sheet: &mut Sheet<'_, '_>) -> Result<(), String> {
        match within("deleting what is not there", self.may_remove()).await {
            Ok(true) => {}
            Ok(false) => {
                sheet.put(self.without_objects(access).await);
                return Err("the credentials may remove nothing, and so nothing is made".into());
            }
            Err(error) => {
                sheet.put(Finding::fail("delete", &error));
                return Err("what is written could not be removed again".into());
            }
        }
        let asked = within("asking what the store can do", self.store.abilities());
        let abilities = match self.probe.making(asked).await {
            Ok(abilities) => abilities,
            Err(error) => {
                sheet.put(Finding::fail(self.blamed(&error), &error));
                return Err("no object can be written".into());
            }
        };
        let mut written = true;
        objects::write(&self.probe, &mut |finding: Finding| {
            // Encryption that is not confirmed fails the write, and has a line of its own.
            let check = finding.error.as_ref().map_or("write", |error| self.blamed(error));
            written = finding.error.is_none();
            sheet.put(Finding { check, ..finding });
        })
        .await;
        if !written {
            return Err("no object could be written".into());
        }
        let seen = within("looking at an object", self.look(&self.probe.key)).await;
        if seen.as_ref().is_ok_and(|seen| seen.version.is_some()) {
            self.versioned.store(true, SeqCst);
        }
        objects::read(&self.probe, &mut |finding| sheet.put(finding)).await;
        objects::conditional_create(&self.probe, &mut |finding| {
            sheet.put(self.condition(finding, abilities.conditional))
        })
        .await;
        sheet.put(self.checksums(abilities.integrity).await);
        sheet.put(trailers(abilities.integrity, self.store.options.payload_signing));
        sheet.put(self.multipart(access).await);
        sheet.put(self.encryption(seen));
        sheet.put(self.list(access).await);
        sheet.put(self.delete(access).await);
        Ok(())
    }

    /// What can be known of writing without an object: an upload that is begun and aborted.
    async fn without_objects(&self, access: Access) -> Finding {
        let probes = self.store.place.with_prefix(crate::store::doctor::PROBE);
        let remedy = format!(
            "allow s3:DeleteObject for {probes}* only, as the policy does that seglift doctor --policy write prints"
        );
        let work = async {
            self.may_abort().await?;
            // Not the store's own way, which asks once with an object what the store can do.
            let (store, exchange) = (self.store, Exchange::new(false));
            let request = store.connection.client().await?.create_multipart_upload();
            let request = request.bucket(&store.place.bucket).key(store.place.object_key(&self.probe.key));
            let request = store.attributes.on_begin(request, self.probe.info()).customize();
            let request = request.interceptor(exchange.clone());
            let begun = store.answer(Action::Begin, Some(&self.probe.key), &exchange, request.send()).await?;
            self.abort(begun.upload_id().unwrap_or_default()).await
        };
        if let Err(error) = within("an upload without parts", work).await {
            return Finding::fail("write", &error);
        }
        let detail = "an upload can be begun and aborted; no object was made, because the credentials could not remove it";
        match access {
            Access::Admin => Finding::fail("delete", &state(Code::PermissionDenied, detail)).remedy(remedy),
            _ => Finding::warn("write", detail, remedy),
        }
    }

    /// Which check a failed write belongs to.
    fn blamed(&self, error: &Error) -> &'static str {
        let class_or_tags = ["InvalidStorageClass", "InvalidTag", "AccessControlListNotSupported"];
        let asked = self.store.attributes.encrypts() && !class_or_tags.contains(&error.service_code());
        let refused = error.code() == Code::InvalidConfig || error.service_code().starts_with("KMS");
        if asked && refused { "encryption" } else { "write" }
    }

    /// A probe is asked with the store's own idea of the condition, which may be the host's word only.
    fn condition(&self, finding: Finding, conditional: Conditional) -> Finding {
        match conditional {
            Conditional::Refused if finding.error.is_none() => Finding {
                detail: "creating only where a key is free is switched off or not known to the store; seglift looks \
                         before and after"
                    .into(),
                ..finding
            },
            _ => finding,
        }
    }

    /// HEAD of an object of ours.
    pub(super) async fn look(&self, key: &Key) -> Result<Seen> {
        let (store, exchange) = (self.store, Exchange::new(false));
        let request = store.connection.client().await?.head_object();
        let request = request.bucket(&store.place.bucket).key(store.place.object_key(key));
        let request = store.attributes.on_head(request).customize().interceptor(exchange.clone());
        let output = match store.answer(Action::Head, Some(key), &exchange, request.send()).await {
            Ok(output) => output,
            // A HEAD's answer has no body to say what is missing, and the bucket is known to be there.
            Err(error) if error.http_status() == 404 => {
                return Err(state(Code::NotFound, format!("the object {key} is not there")));
            }
            Err(error) => return Err(error),
        };
        Ok(Seen {
            // A bucket that once kept versions calls its new objects' version so.
            version: output.version_id().filter(|version| *version != "null").map(str::to_owned),
            encryption: output.server_side_encryption().cloned(),
            kms_key: output.ssekms_key_id().map(str::to_owned),
            customer_md5: output.sse_customer_key_md5().map(str::to_owned),
        })
    }

    /// Sends an object with a wrong checksum, which must be refused.
    async fn checksums(&self, integrity: Integrity) -> Finding {
        const CHECK: &str = "checksums";
        const UNGUARDED: &str = "damage on the way is noticed when a block is read, and not before; \
                                 seglift verify after an offload finds it early";
        if integrity == Integrity::Nothing {
            return Finding::warn(CHECK, "the store takes no checksums", UNGUARDED);
        }
        let body = Arc::new(Zeros::new(PIECE).with_wrong_checksum());
        self.wrong_made.store(true, SeqCst);
        let put =
            async { Ok(self.store.put_once(&self.wrong, self.probe.info(), body, integrity, false).await) };
        match self.probe.making(within("sending a wrong checksum", put)).await {
            Err(error) => Finding::fail(CHECK, &error),
            Ok(Ok(_)) => match self.remove(&self.wrong).await {
                Ok(()) => {
                    Finding::warn(CHECK, "the store keeps an object whose checksum is wrong", UNGUARDED)
                }
                Err(error) => Finding::fail(CHECK, &error),
            },
            Ok(Err(failed)) if failed.error.http_status() == 400 => {
                self.wrong_made.store(false, SeqCst);
                Finding::ok(CHECK, format!("a wrong CRC32C is refused ({})", failed.error.service_code()))
            }
            Ok(Err(failed)) => Finding::fail(CHECK, &failed.error),
        }
    }

    /// An upload with one part, as far as it can go without an object.
    async fn multipart(&self, access: Access) -> Finding {
        const CHECK: &str = "multipart";
        let begun = Instant::now();
        let work = async {
            self.may_abort().await?;
            let begun = async {
                let upload: Arc<dyn Upload> =
                    self.store.begin(&self.probe.key, self.probe.info()).await?.into();
                *self.upload.lock() = Some(upload.clone());
                upload.put_part(0, 0, Arc::new(Zeros::new(PART))).await?;
                Ok::<_, Error>(upload)
            };
            let upload = self.probe.making(begun).await?;
            let listed = match access {
                Access::Admin => self.listed_uploads().await?,
                _ => "",
            };
            upload.abort().await?;
            *self.upload.lock() = None;
            Ok(listed)
        };
        match within("an upload in parts", work).await {
            Ok(listed) => Finding::ok(
                CHECK,
                format!("a part of 5 MiB and the abort of its upload, in {}{listed}", shown(begun.elapsed())),
            ),
            Err(error) => Finding::fail(CHECK, &error),
        }
    }

    /// Looks for the upload and its part as whoever cleans up does.
    async fn listed_uploads(&self) -> Result<&'static str> {
        const LISTED: &str = "; it and its part are listed";
        const NOT: &str =
            "; the store does not list uploads, so only a lifecycle rule can remove those that were left";
        let store = self.store;
        let (bucket, name) = (&store.place.bucket, store.place.object_key(&self.probe.key));
        let exchange = Exchange::new(false);
        // MinIO lists the uploads of a whole key only.
        let request = store.connection.client().await?.list_multipart_uploads().bucket(bucket).prefix(&name);
        let request = request.customize().interceptor(exchange.clone());
        let uploads = match store.answer(Action::Uploads, None, &exchange, request.send()).await {
            Ok(page) => page,
            Err(error) if matches!(error.http_status(), 405 | 501) => return Ok(NOT),
            Err(error) => return Err(error),
        };
        let Some(upload) = uploads.uploads().iter().find(|upload| upload.key() == Some(name.as_str())) else {
            return Ok(NOT);
        };
        let exchange = Exchange::new(false);
        let request = store.connection.client().await?.list_parts().bucket(bucket).key(&name);
        let request = request.set_upload_id(upload.upload_id().map(str::to_owned));
        let request = request.customize().interceptor(exchange.clone());
        let parts = match store.answer(Action::Parts, Some(&self.probe.key), &exchange, request.send()).await
        {
            Ok(parts) => parts,
            Err(error) if matches!(error.http_status(), 405 | 501) => return Ok(NOT),
            Err(error) => return Err(error),
        };
        match parts.parts().iter().any(|part| part.size() == Some(PART as i64)) {
            true => Ok(LISTED),
            false => {
                Err(state(Code::Unavailable, "the store took a part and does not list it; look at its log"))
            }
        }
    }

    /// Aborts an upload that there is not, so that none is begun which could not be aborted.
    async fn may_abort(&self) -> Result<()> {
        // Stores tell an id that cannot be from one that is not known; this one can be in all of them.
        match self.abort(&uuid::Uuid::new_v4().to_string()).await {
            Err(error) if error.code() == Code::PermissionDenied => Err(error),
            _ => Ok(()),
        }
    }

    async fn abort(&self, id: &str) -> Result<()> {
        let (store, exchange) = (self.store, Exchange::new(false));
        let request = store.connection.client().await?.abort_multipart_upload();
        let request = request.bucket(&store.place.bucket).key(store.place.object_key(&self.probe.key));
        let request = request.upload_id(id).customize().interceptor(exchange.clone());
        store.answer(Action::Abort, Some(&self.probe.key), &exchange, request.send()).await.map(drop)
    }

    /// Whether the object is encrypted as the settings say.
    fn encryption(&self, seen: Result<Seen>) -> Finding {
        const CHECK: &str = "encryption";
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => return Finding::fail(CHECK, &error),
        };
        let echo = Echo {
            algorithm: seen.encryption.as_ref(),
            kms_key: seen.kms_key.as_deref(),
            customer_md5: seen.customer_md5.as_deref(),
        };
        if let Err(error) = self.store.attributes.check_echo(echo) {
            return Finding::fail(CHECK, &error);
        }
        let by = match (&seen.encryption, &seen.kms_key) {
            (Some(algorithm), Some(key)) => format!("{algorithm} with the key {key}"),
            (Some(algorithm), None) => algorithm.to_string(),
            (None, _) if seen.customer_md5.is_some() => "the host's key".into(),
            (None, _) => "nothing that it tells of".into(),
        };
        match self.store.connection.sse() {
            Sse::Off | Sse::Auto => {
                Finding::ok(CHECK, format!("none is asked for (s3.sse); the store encrypts with {by}"))
            }
            _ => Finding::ok(CHECK, format!("as asked for: {by}")),
        }
    }

    /// Lists the probe, which the store's own listing hides.
    async fn list(&self, access: Access) -> Finding {
        const CHECK: &str = "list";
        let (store, exchange) = (self.store, Exchange::new(false));
        let name = store.place.object_key(&self.probe.key);
        let work = async {
            let request = store.connection.client().await?.list_objects_v2();
            let request = request.bucket(&store.place.bucket).prefix(&name).max_keys(2);
            let request = request.customize().interceptor(exchange.clone());
            store.answer(Action::List, None, &exchange, request.send()).await
        };
        match within("listing", work).await {
            Ok(page) if page.contents().iter().any(|object| object.key() == Some(name.as_str())) => {
                Finding::ok(CHECK, "an object shows as soon as it is written")
            }
            Ok(_) => Finding::warn(
                CHECK,
                "an object that can be read does not show in the listing",
                "wait, and list again before you trust what is not listed",
            ),
            Err(error) if error.code() == Code::PermissionDenied && access < Access::Admin => {
                Finding::skipped(CHECK, "not allowed, and writing does not need it (s3:ListBucket)")
            }
            Err(error) => Finding::fail(CHECK, &error),
        }
    }

    /// Deletes the probe, and for an admin asks whether other keys can be deleted, too.
    async fn delete(&self, access: Access) -> Finding {
        const CHECK: &str = "delete";
        let store = self.store;
        let key = self.probe.key.clone();
        let versioned = self.versioned.load(SeqCst);
        let work = async {
            self.remove(&key).await?;
            match store.get(&key, GetRange::Suffix(1)).await {
                Err(error) if matches!(error.code(), Code::NotFound | Code::NotFoundOrDenied) => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    return Err(state(Code::Unavailable, "the object is still there after it was deleted"));
                }
            }
            // In a bucket with versions deleting what is not there makes a marker, which would stay.
            match versioned {
                true => Ok(()),
                false => store.delete(std::slice::from_ref(&key)).await.pop().unwrap_or(Ok(())),
            }
        };
        if let Err(error) = within("deleting", work).await {
            return Finding::fail(CHECK, &error);
        }
        if versioned {
            let detail = "removed it with its version; the bucket keeps versions, so what brokers delete is hidden first";
            return Finding::ok(CHECK, detail);
        }
        // A writer's policy allows to delete probes only.
        let other = Key::new(&format!("seglift-doctor-{}", uuid::Uuid::new_v4()));
        let asked = async {
            match other {
                Ok(key) => store.delete(std::slice::from_ref(&key)).await.pop().unwrap_or(Ok(())),
                Err(error) => Err(error),
            }
        };
        match within("deleting", asked).await {
            Ok(()) => Finding::ok(CHECK, "removed it, and removing it again is no error"),
            Err(error) if error.code() == Code::PermissionDenied && access < Access::Admin => {
                Finding::ok(CHECK, "allowed for probes only, and writing needs no more")
            }
            Err(error) => Finding::fail(CHECK, &error),
        }
    }
}

fn trailers(integrity: Integrity, signed: bool) -> Finding {
    const CHECK: &str = "trailers";
    match integrity {
        Integrity::Trailer => Finding::ok(CHECK, "checksums are sent behind the payload, in one pass"),
        Integrity::Header if signed => {
            Finding::ok(CHECK, "not used, because payloads are signed (s3.payload.signing)")
        }
        Integrity::Header => Finding::warn(
            CHECK,
            "the store takes checksums in front of the payload only, so each part is read twice",
            "nothing to do; it costs processor time, not safety",
        ),
        Integrity::Nothing => Finding::skipped(CHECK, "not checked, because the store takes no checksums"),
    }
}
