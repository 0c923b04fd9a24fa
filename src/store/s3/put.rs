//! Small objects in one request.

use super::{S3Store, errors::Action};
use crate::{
    error::{Code, Error, Result},
    store::{Body, Commit, Key, Upload, UploadInfo},
};
use futures_util::TryStreamExt;
use std::sync::Arc;

impl S3Store {
    pub(super) async fn put_object(&self, key: &Key, _info: &UploadInfo, body: Arc<dyn Body>) -> Commit {
        match self.put_bytes(key, body).await {
            Ok(()) => Commit::Done,
            Err(e) if e.http_status() == 412 => Commit::Exists,
            Err(e) => Commit::NotDone(e),
        }
    }

    async fn put_bytes(&self, key: &Key, body: Arc<dyn Body>) -> Result<()> {
        let pieces: Vec<_> = body.open().try_collect().await?;
        let bytes = pieces.concat();
        if bytes.len() as u64 != body.len() {
            return Err(Error::new(Code::Internal, "the source did not keep its word about its length"));
        }
        let (bucket, name) = (&self.place.bucket, self.place.object_key(key));
        let put = self.connection.client().await?.put_object().bucket(bucket).key(name).if_none_match("*");
        let sent = put.body(bytes.into()).send().await;
        sent.map(drop).map_err(|e| self.error(Action::Put, Some(key), e))
    }

    pub(super) async fn begin_upload(&self, key: &Key, _info: &UploadInfo) -> Result<Box<dyn Upload>> {
        Err(Error::new(Code::UnsupportedVersion, format!("{key} is too large for one request")))
    }
}
