//! An S3 server in this process that keeps no zeros, so that objects of many gigabytes cost neither memory nor disk.
//!
//! All bytes still cross a socket: the client cannot tell. It knows puts, parts, commits and ranges, no more: what
//! real servers do is the other tests' affair.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    S3, S3Request, S3Response, S3Result,
    auth::SimpleAuth,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag,
        GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, PutObjectInput, PutObjectOutput,
        StreamingBlob, Timestamp, UploadPartInput, UploadPartOutput,
    },
    s3_error,
    service::S3ServiceBuilder,
};
use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    convert::Infallible,
    sync::{Arc, Mutex},
    time::SystemTime,
};
use tokio::{net::TcpListener, runtime::Runtime};

/// What holds of a run of bytes: all of it that is not zero.
#[derive(Clone, Default)]
struct Holes {
    len: u64,
    /// By position.
    islands: BTreeMap<u64, Bytes>,
}

impl Holes {
    fn push(&mut self, piece: &Bytes) {
        if piece.iter().any(|&byte| byte != 0) {
            self.islands.insert(self.len, Bytes::copy_from_slice(piece));
        }
        self.len += piece.len() as u64;
    }

    fn append(&mut self, other: &Holes) {
        let at = self.len;
        self.islands.extend(other.islands.iter().map(|(place, bytes)| (at + place, bytes.clone())));
        self.len += other.len;
    }

    fn read(&self, start: u64, end: u64) -> Bytes {
        let mut out = vec![0; (end - start) as usize];
        for (&at, island) in self.islands.range(..end) {
            let (from, to) = (at.max(start), (at + island.len() as u64).min(end));
            if from < to {
                out[(from - start) as usize..(to - start) as usize]
                    .copy_from_slice(&island[(from - at) as usize..(to - at) as usize]);
            }
        }
        out.into()
    }
}

#[derive(Default)]
struct Kept {
    uploads: HashMap<String, BTreeMap<i32, Holes>>,
    objects: HashMap<String, Arc<Holes>>,
}

#[derive(Clone, Default)]
struct Sparse(Arc<Mutex<Kept>>);

impl Sparse {
    fn object(&self, key: &str) -> S3Result<Arc<Holes>> {
        self.0.lock().unwrap().objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }
}

/// Its one access key, and the secret of it.
pub const KEY: &str = "sparse";

fn etag() -> Option<ETag> {
    Some(ETag::Strong("0".into()))
}

async fn received(body: Option<StreamingBlob>, len: Option<i64>) -> S3Result<Holes> {
    let mut body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
    let mut received = Holes::default();
    while let Some(piece) = body.next().await {
        received.push(&piece.map_err(|_| s3_error!(IncompleteBody))?);
    }
    if len.is_some_and(|len| len as u64 != received.len) {
        return Err(s3_error!(IncompleteBody));
    }
    Ok(received)
}

#[async_trait::async_trait]
impl S3 for Sparse {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput { body, key, content_length, .. } = request.input;
        let object = received(body, content_length).await?;
        match self.0.lock().unwrap().objects.entry(key) {
            Entry::Occupied(_) => Err(s3_error!(PreconditionFailed)),
            Entry::Vacant(free) => {
                free.insert(Arc::new(object));
                Ok(S3Response::new(PutObjectOutput { e_tag: etag(), ..Default::default() }))
            }
        }
    }

    async fn create_multipart_upload(
        &self,
        _: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let mut kept = self.0.lock().unwrap();
        let id = format!("upload-{}", kept.uploads.len());
        kept.uploads.insert(id.clone(), BTreeMap::new());
        Ok(S3Response::new(CreateMultipartUploadOutput { upload_id: Some(id), ..Default::default() }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let UploadPartInput { body, upload_id, part_number, content_length, .. } = request.input;
        let part = received(body, content_length).await?;
        let mut kept = self.0.lock().unwrap();
        let upload = kept.uploads.get_mut(&upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.insert(part_number, part);
        Ok(S3Response::new(UploadPartOutput { e_tag: etag(), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let CompleteMultipartUploadInput { multipart_upload, key, upload_id, .. } = request.input;
        let named = multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let mut kept = self.0.lock().unwrap();
        if kept.objects.contains_key(&key) {
            return Err(s3_error!(PreconditionFailed));
        }
        let parts = kept.uploads.remove(&upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let mut object = Holes::default();
        for part in named {
            let number = part.part_number.ok_or_else(|| s3_error!(InvalidPart))?;
            object.append(parts.get(&number).ok_or_else(|| s3_error!(InvalidPart))?);
        }
        kept.objects.insert(key, Arc::new(object));
        Ok(S3Response::new(CompleteMultipartUploadOutput { e_tag: etag(), ..Default::default() }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.0.lock().unwrap().uploads.remove(&request.input.upload_id);
        Ok(S3Response::new(Default::default()))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = self.object(&request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.len as i64),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..Default::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let object = self.object(&request.input.key)?;
        let range = match request.input.range {
            Some(range) => range.check(object.len)?,
            None => 0..object.len,
        };
        let total = object.len;
        let (start, end) = (range.start, range.end);
        let pieces = (start..end)
            .step_by(256 << 10)
            .map(move |at| Ok::<_, std::io::Error>(object.read(at, end.min(at + (256 << 10)))));
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(stream::iter(pieces))),
            content_length: Some((end - start) as i64),
            content_range: request.input.range.map(|_| format!("bytes {start}-{}/{total}", end - 1)),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            e_tag: etag(),
            ..Default::default()
        }))
    }
}

/// Serves until it is dropped.
pub struct SparseServer {
    /// Such as `http://127.0.0.1:40123`.
    pub endpoint: String,
    /// Its threads.
    _runtime: Runtime,
}

impl SparseServer {
    /// Starts it at a free port.
    pub fn start() -> SparseServer {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut service = S3ServiceBuilder::new(Sparse::default());
        service.set_auth(SimpleAuth::from_single(KEY, KEY));
        let service = service.build();
        runtime.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await?;
                let service = service.clone();
                tokio::spawn(async move {
                    // A client that goes away in the middle is no error of the server.
                    _ = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
            #[allow(unreachable_code, reason = "it names the type of the errors above")]
            Ok::<Infallible, std::io::Error>(unreachable!())
        });
        SparseServer { endpoint, _runtime: runtime }
    }
}
