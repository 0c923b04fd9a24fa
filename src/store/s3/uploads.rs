//! Uploads that nobody ended: ListMultipartUploads, ListParts, AbortMultipartUpload. And what time it is there.
//!
//! Invariant: nothing is shown that does not lie below the store's prefix and could be ours, and a list that is cut
//! short is an error.
//!
//! A process that is killed while it asks what the store can do ([`probe`](super::probe)) leaves an object, which no
//! listing shows. It is shown here, as an upload without an id: nobody else would ever remove it.
//!
//! Whose an upload is S3 shows to nobody: its metadata can be read only once it is an object.
//!
//! Trade-off: MinIO lists uploads only of the whole bucket or of one full key, and answers with nothing where a prefix
//! is asked for. So where that answer is empty, and the endpoint is not Amazon's, the whole bucket's are asked for once
//! more and what is not ours is left out.

use super::{
    S3Store,
    errors::{self, Action},
    exchange::Exchange,
    get::micros,
};
use crate::{
    clock::{Clock, SystemClock},
    error::{Code, Error, Result},
    store::{
        Arrived, Key, Unfinished, UploadMark, UploadPage,
        key::{PROBE, is_probe},
    },
};
use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef,
    },
    error::BoxError,
    operation::list_multipart_uploads::ListMultipartUploadsOutput,
    types::Part,
};
use aws_smithy_types::{DateTime, date_time::Format};
use parking_lot::Mutex;
use std::sync::Arc;

/// Most uploads, and most parts, in an answer.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html>
const MAX_PAGE: usize = 1000;

/// How far our clock can be from that of a service that takes our signatures: it refuses a larger difference.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html> (RequestTimeTooSkewed)
const MOST_SKEW_US: i64 = 15 * 60 * 1_000_000;

/// The date of an answer, from its header.
#[derive(Clone, Debug, Default)]
struct Dated(Arc<Mutex<Option<i64>>>);

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "seglift dated"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        *self.0.lock() = date.as_ref().and_then(micros);
        Ok(())
    }
}

impl S3Store {
    /// See [`ObjectStore::now`](crate::store::ObjectStore::now). Where an answer has no date, the earliest that it can
    /// be: nothing becomes old by that.
    pub(super) async fn store_time(&self) -> Result<i64> {
        let (exchange, dated) = (Exchange::new(false), Dated::default());
        let request = self.connection.client().await?.list_objects_v2().bucket(&self.place.bucket);
        let request = request.prefix(&self.place.prefix).max_keys(1).customize();
        let sent = request.interceptor(exchange.clone()).interceptor(dated.clone()).send();
        self.answer(Action::List, None, &exchange, sent).await?;
        let date = *dated.0.lock();
        Ok(date.unwrap_or_else(|| SystemClock::new().now_us() - MOST_SKEW_US))
    }

    /// See [`ObjectStore::uploads`](crate::store::ObjectStore::uploads).
    pub(super) async fn list_uploads(&self, after: Option<&UploadMark>, max: usize) -> Result<UploadPage> {
        let mut page = match self.upload_page(after, max, after.is_some_and(|mark| mark.of_all)).await {
            // versitygw knows no upload of the marked key any more, others perhaps none that was ended. Behind the key
            // it goes on; what else there is of it, the next reap finds.
            Err(e) if e.http_status() == 400 && after.is_some_and(|mark| !mark.id.is_empty()) => {
                let behind = after.map(|mark| UploadMark { id: String::new(), ..mark.clone() });
                let of_all = behind.as_ref().is_some_and(|mark| mark.of_all);
                self.upload_page(behind.as_ref(), max, of_all).await?
            }
            page => page?,
        };
        let prefix_may_be_ignored = !self.place.prefix.is_empty() && !self.connection.is_amazon();
        if after.is_none() && page.uploads.is_empty() && page.next.is_none() && prefix_may_be_ignored {
            page = self.upload_page(None, max, true).await?;
        }
        // The first page has the probes, too. Those that it has no room for, the next reap meets.
        let room = max.min(MAX_PAGE).saturating_sub(page.uploads.len());
        if after.is_none() && room > 0 {
            page.uploads.extend(self.probes(room).await?);
        }
        Ok(page)
    }

    /// Objects that asked what the store can do and are still there.
    async fn probes(&self, max: usize) -> Result<Vec<Unfinished>> {
        let exchange = Exchange::new(false);
        let request = self.connection.client().await?.list_objects_v2().bucket(&self.place.bucket);
        let request = request.prefix(self.place.with_prefix(PROBE)).max_keys(max as i32);
        let sent = request.customize().interceptor(exchange.clone()).send();
        let answer = self.answer(Action::List, None, &exchange, sent).await?;
        if !exchange.well_formed() {
            let why = "is not the whole XML of a list of objects";
            return Err(errors::odd_answer(Action::List, &self.at(None), why));
        }
        let left = answer.contents().iter().filter_map(|object| {
            let name = object.key()?.strip_prefix(&self.place.prefix)?;
            let started_us = object.last_modified().and_then(micros)?;
            let id = String::new();
            is_probe(name).then(|| Unfinished {
                name: name.to_owned(),
                id,
                of_owner: None,
                alive: None,
                started_us,
            })
        });
        Ok(left.collect())
    }

    async fn upload_page(&self, after: Option<&UploadMark>, max: usize, of_all: bool) -> Result<UploadPage> {
        let exchange = Exchange::new(false);
        let mut request = self.connection.client().await?.list_multipart_uploads().bucket(&self.place.bucket);
        if !of_all && !self.place.prefix.is_empty() {
            request = request.prefix(&self.place.prefix);
        }
        if let Some(mark) = after {
            let id = Some(mark.id.clone()).filter(|id| !id.is_empty());
            request = request.key_marker(&mark.name).set_upload_id_marker(id);
        }
        let request = request.max_uploads(max.min(MAX_PAGE) as i32);
        let sent = request.customize().interceptor(exchange.clone()).send();
        let answer = self.answer(Action::Uploads, None, &exchange, sent).await?;
        if !exchange.well_formed() {
            return Err(self.odd_uploads("is not the whole XML of a list of uploads"));
        }
        self.understood_uploads(answer, after, of_all)
    }

    fn understood_uploads(
        &self,
        answer: ListMultipartUploadsOutput,
        after: Option<&UploadMark>,
        of_all: bool,
    ) -> Result<UploadPage> {
        let mut page = UploadPage::default();
        for upload in answer.uploads() {
            let id = upload.upload_id().filter(|id| !id.is_empty());
            let (Some(key), Some(id), Some(started_us)) =
                (upload.key(), id, upload.initiated().and_then(micros))
            else {
                return Err(self.odd_uploads("does not say what an upload is for and when it was begun"));
            };
            let Some(name) = key.strip_prefix(&self.place.prefix) else { continue };
            // Others put objects into buckets, too; probes are ours and have no key.
            if self.place.key_of(key).is_none() && !name.starts_with(PROBE) {
                continue;
            }
            page.uploads.push(Unfinished {
                name: name.to_owned(),
                id: id.to_owned(),
                of_owner: None,
                alive: None,
                started_us,
            });
        }
        if answer.is_truncated() == Some(true) {
            let text = |marker: Option<&str>| marker.unwrap_or_default().to_owned();
            let (name, id) = (text(answer.next_key_marker()), text(answer.next_upload_id_marker()));
            let next = UploadMark { name, id, of_all };
            if next.name.is_empty() || after == Some(&next) {
                return Err(self.odd_uploads("says that there is more and not where"));
            }
            page.next = Some(next);
        }
        Ok(page)
    }

    /// See [`ObjectStore::arrived`](crate::store::ObjectStore::arrived).
    pub(super) async fn parts_arrived(&self, upload: &Unfinished) -> Result<Option<Arrived>> {
        let mut arrived = Arrived { newest_us: upload.started_us, bytes: 0 };
        if upload.id.is_empty() {
            return match self.head_object(&probe_key(upload)?).await {
                Ok(entry) => Ok(Some(Arrived { newest_us: entry.modified_us, bytes: entry.len })),
                Err(e) if e.code() == Code::NotFound => Ok(None),
                Err(e) => Err(e),
            };
        }
        let object_key = self.place.with_prefix(&upload.name);
        let there = self.each_part(&object_key, &upload.id, |part| {
            let time_us = part.last_modified().and_then(micros).ok_or("does not say when a part came")?;
            arrived.newest_us = arrived.newest_us.max(time_us);
            let size = part.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
            arrived.bytes = arrived.bytes.saturating_add(size);
            Ok(())
        });
        Ok(there.await?.then_some(arrived))
    }

    /// Shows each part of an upload; false if there is no such upload. What `see` says is wrong with one is an error.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html>
    pub(super) async fn each_part(
        &self,
        object_key: &str,
        id: &str,
        mut see: impl FnMut(&Part) -> Result<(), &'static str>,
    ) -> Result<bool> {
        let mut after: Option<u32> = None;
        loop {
            let exchange = Exchange::new(false);
            let request = self.connection.client().await?.list_parts().bucket(&self.place.bucket);
            let request = self.attributes.on_parts(request).key(object_key).upload_id(id);
            let marker = after.map(|number| number.to_string());
            let request = request.set_part_number_marker(marker).max_parts(MAX_PAGE as i32);
            let sent = request.customize().interceptor(exchange.clone()).send();
            let answer = match self.answer(Action::Parts, None, &exchange, sent).await {
                Ok(answer) => answer,
                Err(e) if e.service_code() == "NoSuchUpload" => return Ok(false),
                Err(e) => return Err(e),
            };
            let odd = |why| errors::odd_answer(Action::Parts, &self.at(None), why);
            if !exchange.well_formed() {
                return Err(odd("is not the whole XML of a list of parts"));
            }
            answer.parts().iter().try_for_each(&mut see).map_err(odd)?;
            if answer.is_truncated() != Some(true) {
                return Ok(true);
            }
            // The number of the last part: only where it grows does the list come to an end.
            match answer.next_part_number_marker.and_then(|marker| marker.parse().ok()) {
                Some(next) if after.is_none_or(|after| after < next) => after = Some(next),
                _ => return Err(odd("says that there is more and not where")),
            }
        }
    }

    /// See [`ObjectStore::abort_upload`](crate::store::ObjectStore::abort_upload).
    pub(super) async fn abort_unfinished(&self, upload: &Unfinished) -> Result<bool> {
        if upload.id.is_empty() {
            return self.remove(&probe_key(upload)?, None).await.map(|()| true);
        }
        let exchange = Exchange::new(false);
        let request = self.connection.client().await?.abort_multipart_upload().bucket(&self.place.bucket);
        let request = request.key(self.place.with_prefix(&upload.name)).upload_id(&upload.id);
        let sent = request.customize().interceptor(exchange.clone()).send();
        match self.answer(Action::Abort, None, &exchange, sent).await {
            Ok(_) => Ok(true),
            Err(e) if e.service_code() == "NoSuchUpload" => Ok(false),
            Err(e) => Err(e.context(&upload.name)),
        }
    }

    fn odd_uploads(&self, why: &str) -> Error {
        errors::odd_answer(Action::Uploads, &self.at(None), why)
    }
}

/// The key of an upload without an id: that of a probe, never of anything else.
fn probe_key(upload: &Unfinished) -> Result<Key> {
    Key::of_found_probe(&upload.name).ok_or_else(|| {
        Error::new(Code::Internal, format!("an upload of {} has no id; please report this", upload.name))
    })
}
