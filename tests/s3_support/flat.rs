//! One bucket in memory with S3's own semantics: keys are flat, conditional writes are atomic, parts and their
//! checksums are checked, uploads can be listed. s3s speaks the protocol in front of it.

use futures_util::TryStreamExt;
use parking_lot::Mutex;
use s3s::{Body, S3, S3Request, S3Response, S3Result, TrailingHeaders, dto::*, s3_error};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// Smallest part but the last, as at Amazon's.
const MIN_PART: usize = 5 << 20;

type Bytes = bytes::Bytes;
type Answer<T> = S3Result<S3Response<T>>;

/// The one bucket. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Flat(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The bucket's name; every other is missing.
    bucket: String,
    objects: Mutex<BTreeMap<String, Stored>>,
    uploads: Mutex<BTreeMap<String, Pending>>,
    next: AtomicU64,
}

#[derive(Clone, Debug)]
struct Stored {
    bytes: Bytes,
    /// Of `bytes`; kept, so that a small read of a large object is as cheap as it looks.
    e_tag: ETag,
    at: SystemTime,
    metadata: Option<Metadata>,
    sse: Option<ServerSideEncryption>,
}

#[derive(Debug)]
struct Pending {
    key: String,
    metadata: Option<Metadata>,
    sse: Option<ServerSideEncryption>,
    parts: BTreeMap<i32, (Bytes, SystemTime)>,
    at: SystemTime,
}

fn crc32c(bytes: &[u8]) -> String {
    use base64::Engine;
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32;
    base64::engine::general_purpose::STANDARD.encode(crc.to_be_bytes())
}

fn etag(bytes: &[u8]) -> ETag {
    ETag::Strong(format!(
        "{:x}-{}",
        crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes),
        bytes.len()
    ))
}

/// The whole body, if it is what the checksum in header or trailer says.
async fn received(
    body: Option<StreamingBlob>,
    header: Option<String>,
    trailer: Option<TrailingHeaders>,
) -> S3Result<Bytes> {
    let pieces: Vec<Bytes> = match body {
        Some(body) => body.try_collect().await.map_err(|_| s3_error!(IncompleteBody))?,
        None => Vec::new(),
    };
    let bytes = Bytes::from(pieces.concat());
    let trailed = trailer.and_then(|trailer| trailer.take());
    let trailed =
        trailed.as_ref().and_then(|all| all.get("x-amz-checksum-crc32c")).map(|v| v.to_str().unwrap());
    match header.as_deref().or(trailed) {
        Some(said) if said != crc32c(&bytes) => {
            Err(s3_error!(BadDigest, "The CRC32C you specified did not match"))
        }
        _ => Ok(bytes),
    }
}

impl Flat {
    /// A bucket of this name, empty.
    pub fn new(bucket: &str) -> Flat {
        Flat(Arc::new(Inner { bucket: bucket.into(), ..Inner::default() }))
    }

    /// Keys of uploads in progress.
    pub fn uploads(&self) -> Vec<String> {
        self.0.uploads.lock().values().map(|upload| upload.key.clone()).collect()
    }

    /// Keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        self.0.objects.lock().keys().cloned().collect()
    }

    /// Removes an object behind everybody's back.
    pub fn forget(&self, key: &str) {
        self.0.objects.lock().remove(key);
    }

    /// User metadata of an object.
    pub fn metadata(&self, key: &str) -> Option<Metadata> {
        self.0.objects.lock().get(key)?.metadata.clone()
    }

    /// An object that somebody else made.
    pub fn plant(&self, key: &str, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let e_tag = etag(&bytes);
        let stored = Stored { bytes, e_tag, at: SystemTime::now(), metadata: None, sse: None };
        self.0.objects.lock().insert(key.into(), stored);
    }

    /// Lets everything be older by this.
    pub fn age(&self, by: Duration) {
        self.0.objects.lock().values_mut().for_each(|object| object.at -= by);
        for upload in self.0.uploads.lock().values_mut() {
            upload.at -= by;
            upload.parts.values_mut().for_each(|(_, at)| *at -= by);
        }
    }

    fn known(&self, bucket: &str) -> S3Result<()> {
        if bucket == self.0.bucket {
            Ok(())
        } else {
            Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"))
        }
    }

    fn stored(&self, bucket: &str, key: &str) -> S3Result<Stored> {
        self.known(bucket)?;
        let no_such_key = || s3_error!(NoSuchKey, "The specified key does not exist.");
        self.0.objects.lock().get(key).cloned().ok_or_else(no_such_key)
    }

    fn create(&self, key: String, stored: Stored, if_none_match: Option<&IfNoneMatch>) -> S3Result<()> {
        let mut objects = self.0.objects.lock();
        if if_none_match.is_some_and(ETagCondition::is_any) && objects.contains_key(&key) {
            return Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            ));
        }
        objects.insert(key, stored);
        Ok(())
    }
}

#[async_trait::async_trait]
impl S3 for Flat {
    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.known(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let stored = self.stored(&req.input.bucket, &req.input.key)?;
        let len = stored.bytes.len() as u64;
        let (range, content_range) = match req.input.range {
            None => (0..len, None),
            // As Amazon's: nothing of an empty object is satisfiable.
            Some(_) if len == 0 => return Err(s3_error!(InvalidRange)),
            Some(range) => {
                let range = range.check(len)?;
                let text = format!("bytes {}-{}/{len}", range.start, range.end - 1);
                (range, Some(text))
            }
        };
        let bytes = stored.bytes.slice(range.start as usize..range.end as usize);
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(bytes.len() as i64),
            body: Some(Body::from(bytes).into()),
            content_range,
            last_modified: Some(stored.at.into()),
            e_tag: Some(stored.e_tag),
            metadata: stored.metadata,
            server_side_encryption: stored.sse,
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let stored = self.stored(&req.input.bucket, &req.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(stored.bytes.len() as i64),
            last_modified: Some(stored.at.into()),
            e_tag: Some(stored.e_tag),
            metadata: stored.metadata,
            server_side_encryption: stored.sse,
            ..Default::default()
        }))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let input = req.input;
        self.known(&input.bucket)?;
        let bytes = received(input.body, input.checksum_crc32c, req.trailing_headers).await?;
        let (e_tag, checksum) = (etag(&bytes), crc32c(&bytes));
        let sse = input.server_side_encryption;
        let stored = Stored {
            bytes,
            e_tag: e_tag.clone(),
            at: SystemTime::now(),
            metadata: input.metadata,
            sse: sse.clone(),
        };
        self.create(input.key, stored, input.if_none_match.as_ref())?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(e_tag),
            checksum_crc32c: Some(checksum),
            server_side_encryption: sse,
            ..Default::default()
        }))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        self.known(&req.input.bucket)?;
        self.0.objects.lock().remove(&req.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> Answer<DeleteObjectsOutput> {
        self.known(&req.input.bucket)?;
        let delete = req.input.delete;
        if delete.objects.len() > 1000 {
            return Err(s3_error!(MalformedXML));
        }
        let mut deleted = Vec::new();
        for object in delete.objects {
            self.0.objects.lock().remove(&object.key);
            deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
        }
        let deleted = (!delete.quiet.unwrap_or(false)).then_some(deleted);
        Ok(S3Response::new(DeleteObjectsOutput { deleted, ..Default::default() }))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        let input = req.input;
        self.known(&input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.clone().or(input.start_after.clone());
        let max = input.max_keys.unwrap_or(1000).min(1000) as usize;
        let all = self.0.objects.lock();
        let mut found = all
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after));
        let contents: Vec<Object> = found
            .by_ref()
            .take(max)
            .map(|(key, stored)| Object {
                key: Some(key.clone()),
                size: Some(stored.bytes.len() as i64),
                last_modified: Some(stored.at.into()),
                e_tag: Some(stored.e_tag.clone()),
                ..Default::default()
            })
            .collect();
        let more = found.next().is_some();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            key_count: Some(contents.len() as i32),
            max_keys: Some(max as i32),
            is_truncated: Some(more),
            next_continuation_token: contents.last().filter(|_| more).and_then(|last| last.key.clone()),
            contents: Some(contents),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let input = req.input;
        self.known(&input.bucket)?;
        let id = format!("upload-{}", self.0.next.fetch_add(1, Ordering::Relaxed));
        let sse = input.server_side_encryption;
        let pending = Pending {
            key: input.key.clone(),
            metadata: input.metadata,
            sse: sse.clone(),
            parts: BTreeMap::new(),
            at: SystemTime::now(),
        };
        self.0.uploads.lock().insert(id.clone(), pending);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            server_side_encryption: sse,
            ..Default::default()
        }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let input = req.input;
        let bytes = received(input.body, input.checksum_crc32c, req.trailing_headers).await?;
        let output = UploadPartOutput {
            e_tag: Some(etag(&bytes)),
            checksum_crc32c: Some(crc32c(&bytes)),
            ..Default::default()
        };
        let mut uploads = self.0.uploads.lock();
        let upload = uploads.get_mut(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.parts.insert(input.part_number, (bytes, SystemTime::now()));
        Ok(S3Response::new(output))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let input = req.input;
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let mut uploads = self.0.uploads.lock();
        let upload = uploads.get(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let mut bytes = Vec::new();
        for (i, part) in named.iter().enumerate() {
            let stored = part.part_number.and_then(|number| upload.parts.get(&number));
            let (stored, _) = stored.ok_or_else(|| s3_error!(InvalidPart))?;
            let same_crc = part.checksum_crc32c.as_ref().is_none_or(|said| *said == crc32c(stored));
            if part.e_tag.as_ref() != Some(&etag(stored)) || !same_crc {
                return Err(s3_error!(InvalidPart));
            }
            if i + 1 < named.len() && stored.len() < MIN_PART {
                return Err(s3_error!(EntityTooSmall));
            }
            bytes.extend_from_slice(stored);
        }
        if named.is_empty() {
            return Err(s3_error!(MalformedXML));
        }
        let e_tag = etag(&bytes);
        let stored = Stored {
            bytes: bytes.into(),
            e_tag: e_tag.clone(),
            // As Amazon dates it.
            at: upload.at,
            metadata: upload.metadata.clone(),
            sse: upload.sse.clone(),
        };
        let sse = upload.sse.clone();
        self.create(upload.key.clone(), stored, input.if_none_match.as_ref())?;
        uploads.remove(&input.upload_id);
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(e_tag),
            server_side_encryption: sse,
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        match self.0.uploads.lock().remove(&req.input.upload_id) {
            Some(_) => Ok(S3Response::new(AbortMultipartUploadOutput::default())),
            None => Err(s3_error!(NoSuchUpload)),
        }
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        self.known(&req.input.bucket)?;
        let uploads = self.0.uploads.lock();
        let prefix = req.input.prefix.clone().unwrap_or_default();
        let below = uploads.iter().filter(|(_, upload)| upload.key.starts_with(&prefix));
        let listed = below.map(|(id, upload)| MultipartUpload {
            key: Some(upload.key.clone()),
            upload_id: Some(id.clone()),
            initiated: Some(upload.at.into()),
            ..Default::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(req.input.bucket),
            prefix: req.input.prefix,
            is_truncated: Some(false),
            uploads: Some(listed.collect()),
            ..Default::default()
        }))
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        self.known(&req.input.bucket)?;
        let uploads = self.0.uploads.lock();
        let upload = uploads.get(&req.input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let parts = upload.parts.iter().map(|(number, (bytes, at))| Part {
            part_number: Some(*number),
            size: Some(bytes.len() as i64),
            last_modified: Some((*at).into()),
            e_tag: Some(etag(bytes)),
            checksum_crc32c: Some(crc32c(bytes)),
            ..Default::default()
        });
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(req.input.bucket),
            key: Some(req.input.key),
            upload_id: Some(req.input.upload_id),
            is_truncated: Some(false),
            parts: Some(parts.collect()),
            ..Default::default()
        }))
    }
}
