//! Deleting: a thousand keys in a request, or one by one where a store lacks that.
//!
//! Invariant: a key's answer is success only where the store took the request for it and named no error. What
//! is not there is success.

use super::{
    S3Store,
    errors::{self, Action, Reply},
    exchange::Exchange,
    probe::refuses,
};
use crate::{
    error::{Code, Error, Result},
    store::{Entry, Key, Removal},
};
use aws_sdk_s3::{
    operation::{RequestId, RequestIdExt, delete_objects::DeleteObjectsOutput},
    types::{Delete, ObjectIdentifier},
};
use futures_util::{StreamExt, stream};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// Most keys of one request.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>
const BATCH: usize = 1000;

/// Requests at a time where keys go one by one: enough to hide the way to the store, few enough not to be
/// throttled.
const SINGLES: usize = 16;

/// What deletes have found out about the store.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    /// The store knows no DeleteObjects.
    no_batch: AtomicBool,
}

impl S3Store {
    /// See [`ObjectStore::delete`](crate::store::ObjectStore::delete).
    pub(super) async fn delete_objects(&self, keys: &[Key]) -> Vec<Result<()>> {
        let mut answers = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            answers.extend(self.delete_batch(batch).await);
        }
        answers
    }

    async fn delete_batch(&self, keys: &[Key]) -> Vec<Result<()>> {
        if keys.len() == 1 || self.learnt.delete.no_batch.load(Relaxed) {
            return self.one_by_one(keys).await;
        }
        match self.request_batch(keys).await {
            Ok(answers) => answers,
            Err(e) if lacks_batches(&e) => {
                self.learnt.delete.no_batch.store(true, Relaxed);
                self.one_by_one(keys).await
            }
            // A key that this store's XML cannot carry must not keep the others.
            Err(e) if e.http_status() == 400 && e.service_code() == "MalformedXML" => {
                self.one_by_one(keys).await
            }
            Err(e) => keys.iter().map(|_| Err(e.clone())).collect(),
        }
    }

    async fn one_by_one(&self, keys: &[Key]) -> Vec<Result<()>> {
        stream::iter(0..keys.len()).map(|i| self.delete_one(&keys[i])).buffered(SINGLES).collect().await
    }

    async fn delete_one(&self, key: &Key) -> Result<()> {
        gone(self.delete_if(key, None).await)
    }

    /// One DELETE, of what has this ETag if one is given.
    pub(super) async fn delete_if(&self, key: &Key, etag: Option<&str>) -> Result<()> {
        let exchange = Exchange::new(false);
        let client = self.connection.client().await?;
        let request = client.delete_object().bucket(&self.place.bucket).key(self.place.object_key(key));
        let request = request.set_if_match(etag.map(str::to_owned));
        let sent = request.customize().interceptor(exchange.clone()).send();
        self.answer(Action::Delete, Some(key), &exchange, sent).await.map(drop)
    }

    /// See [`ObjectStore::delete_unchanged`](crate::store::ObjectStore::delete_unchanged): a HEAD, and a DELETE under
    /// the condition that the object still has the ETag that the HEAD showed. Amazon keeps to it; a store that knows
    /// no such condition ignores or refuses it, and then a round trip lies between the look and the deed.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html>
    pub(super) async fn delete_object_unchanged(&self, entry: &Entry) -> Result<Removal> {
        let key = &entry.key;
        let etag = match self.head_with_etag(key).await {
            Ok((found, etag)) if found == *entry => etag,
            Ok(_) => return Ok(Removal::Changed),
            Err(e) if e.code() == Code::NotFound => return Ok(Removal::Gone),
            Err(e) => return Err(e),
        };
        let mut deleted = self.delete_if(key, etag.as_deref()).await;
        // Amazon knows it: what it refuses is something else, and no reason to delete what may be another object.
        let may_lack = etag.is_some() && !self.connection.is_amazon();
        if may_lack && deleted.as_ref().is_err_and(refuses) {
            deleted = self.delete_if(key, None).await;
        }
        match deleted {
            Ok(()) => Ok(Removal::Removed),
            Err(e) if e.http_status() == 412 => Ok(Removal::Changed),
            Err(e) if e.code() == Code::NotFound => Ok(Removal::Gone),
            Err(e) => Err(e),
        }
    }

    async fn request_batch(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        let unbuilt = |e| Error::new(Code::Internal, format!("a request to delete was not complete: {e}"));
        let mut delete = Delete::builder().quiet(true);
        for key in keys {
            let object =
                ObjectIdentifier::builder().key(self.place.object_key(key)).build().map_err(unbuilt)?;
            delete = delete.objects(object);
        }
        let delete = delete.build().map_err(unbuilt)?;
        let exchange = Exchange::new(false);
        let request =
            self.connection.client().await?.delete_objects().bucket(&self.place.bucket).delete(delete);
        let sent = request.customize().interceptor(exchange.clone()).send();
        let answer = self.answer(Action::Delete, None, &exchange, sent).await?;
        if !exchange.well_formed() {
            let why = "is not the whole XML of its kind";
            return Err(errors::odd_answer(Action::Delete, &self.at(None), why));
        }
        Ok(self.per_key(keys, &answer))
    }

    /// The answers in the order of the keys: in quiet mode only errors are listed.
    fn per_key(&self, keys: &[Key], answer: &DeleteObjectsOutput) -> Vec<Result<()>> {
        if answer.errors().is_empty() {
            return keys.iter().map(|_| Ok(())).collect();
        }
        let named: HashMap<String, &Key> = keys.iter().map(|key| (self.place.object_key(key), key)).collect();
        let mut errors: HashMap<&str, Error> = HashMap::new();
        let mut of_unknown = None;
        for error in answer.errors() {
            let key = error.key().and_then(|name| named.get(name).copied());
            let reply = Reply {
                status: 200,
                code: error.code().unwrap_or_default(),
                message: error.message().unwrap_or_default(),
                request_id: answer.request_id().unwrap_or_default(),
                extended_request_id: answer.extended_request_id().unwrap_or_default(),
                ..Reply::default()
            };
            let error = errors::from_reply(Action::Delete, &self.at(key), &reply);
            let error = self.connection.hidden().cleared(error);
            match key {
                Some(key) => drop(errors.insert(key.as_str(), error)),
                None => of_unknown = Some(error),
            }
        }
        let answer_for = |key: &Key| match errors.get(key.as_str()).or(of_unknown.as_ref()) {
            Some(error) => gone(Err(error.clone())),
            None => Ok(()),
        };
        keys.iter().map(answer_for).collect()
    }
}

/// What is not there is deleted.
fn gone(answer: Result<()>) -> Result<()> {
    match answer {
        Err(e) if e.code() == Code::NotFound => Ok(()),
        other => other,
    }
}

/// Whether a store refused the batch because it knows none, or wants a digest of it that nobody computes any
/// more.
fn lacks_batches(error: &Error) -> bool {
    [405, 411, 501].contains(&error.http_status())
        || ["NotImplemented", "MethodNotAllowed", "UnsupportedOperation", "MissingContentMD5"]
            .contains(&error.service_code())
}
