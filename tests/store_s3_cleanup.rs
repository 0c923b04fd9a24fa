//! How the store of S3 cleans up, on a service that lies: nothing is taken for old, ours or unchanged that may not be.

use seglift::{
    config::Secret,
    error::Code,
    store::{
        Arrived, Entry, ObjectStore, OpenOptions, Removal, Unfinished,
        conformance::{block_on, key},
        open,
        s3::{Env, S3Options},
    },
};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

#[path = "s3_support/fake.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod fake;

use fake::{Fake, Kind, Manners, Reply};

const SECOND: i64 = 1_000_000;
/// What the service says of the object, and what a listing said.
const HEAD: &[(&str, &str)] = &[("etag", "\"e1\""), ("last-modified", "Sun, 09 Sep 2001 01:46:40 GMT")];
const MODIFIED: i64 = 1_000_000_000 * SECOND;

fn service() -> (Fake, Arc<dyn ObjectStore>) {
    let fake = Fake::start(Manners::default());
    let mut s3 = S3Options { endpoint: Some(fake.endpoint()), ..S3Options::default() };
    s3.credentials.fixed = Some((Secret::new("access"), Secret::new("secret")));
    let options = OpenOptions { s3: Env { options: s3, ..Env::default() }, ..OpenOptions::default() };
    (fake, open("s3://bucket/tier", &options).unwrap())
}

fn listed() -> Entry {
    Entry { key: key("k"), len: 0, modified_us: MODIFIED }
}

fn upload() -> Unfinished {
    Unfinished { name: "k".into(), id: "id".into(), of_owner: None, alive: None, started_us: MODIFIED }
}

#[test]
fn an_object_is_deleted_on_condition_that_it_is_the_one_that_was_seen() {
    let (fake, store) = service();
    fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
    assert_eq!(block_on(store.delete_unchanged(&listed())).unwrap(), Removal::Removed);
    assert_eq!(fake.requests(Kind::Delete)[0].header("if-match"), "\"e1\"");
    // It was written anew between the look and the delete.
    fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
    fake.order(Kind::Delete, Reply::Error(412, "PreconditionFailed"));
    assert_eq!(block_on(store.delete_unchanged(&listed())).unwrap(), Removal::Changed);
    // Before the look.
    for other in [Entry { len: 1, ..listed() }, Entry { modified_us: MODIFIED - SECOND, ..listed() }] {
        fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
        assert_eq!(block_on(store.delete_unchanged(&other)).unwrap(), Removal::Changed);
    }
    assert_eq!(fake.requests(Kind::Delete).len(), 2);
}

#[test]
fn where_deletes_know_no_condition_the_look_before_it_must_do() {
    for refusal in [Reply::Error(501, "NotImplemented"), Reply::Error(400, "InvalidArgument")] {
        let (fake, store) = service();
        fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
        fake.order(Kind::Delete, refusal);
        assert_eq!(block_on(store.delete_unchanged(&listed())).unwrap(), Removal::Removed);
        let conditions: Vec<_> =
            fake.requests(Kind::Delete).iter().map(|request| request.header("if-match").to_owned()).collect();
        assert_eq!(conditions, ["\"e1\"", ""]);
    }
    let (fake, store) = service();
    fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
    fake.order(Kind::Delete, Reply::Error(403, "AccessDenied"));
    assert_eq!(block_on(store.delete_unchanged(&listed())).unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(fake.requests(Kind::Delete).len(), 1);
}

#[test]
fn the_time_is_that_of_the_answer_and_without_one_the_earliest_that_it_can_be() {
    let list = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let (fake, store) = service();
    fake.order(Kind::Get, Reply::Raw(200, &[("date", "Sun, 09 Sep 2001 01:46:40 GMT")], list));
    assert_eq!(block_on(store.now()).unwrap(), MODIFIED);
    for date in [&[][..], &[("date", "yesterday")]] {
        fake.order(Kind::Get, Reply::Raw(200, date, list));
        let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
        let late = ours - block_on(store.now()).unwrap();
        assert!((839 * SECOND..=900 * SECOND).contains(&late), "{late}");
    }
}

#[test]
fn a_list_of_uploads_that_is_cut_short_or_makes_no_sense_is_an_error() {
    let truncated =
        "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>";
    let undated = "<ListMultipartUploadsResult><Upload><Key>tier/k</Key><UploadId>u</UploadId></Upload>\
                   </ListMultipartUploadsResult>";
    let cut = "<ListMultipartUploadsResult><Upload><Key>tier/k</Key>";
    for lie in [truncated, undated, cut, "{}"] {
        let (fake, store) = service();
        fake.order(Kind::Get, Reply::Raw(200, &[], lie));
        let page = block_on(store.uploads("", None, 10));
        assert_eq!(page.unwrap_err().code(), Code::Unavailable, "{lie}");
    }
}

#[test]
fn uploads_of_others_in_the_bucket_are_not_shown() {
    const UPLOADS: &str = "<ListMultipartUploadsResult>\
        <Upload><Key>tier/k</Key><UploadId>a</UploadId><Initiated>2001-09-09T01:46:40.123Z</Initiated></Upload>\
        <Upload><Key>tier/.seglift-probe-3f2504e0-4f89-11d3-9a0c-0305e82c3301</Key><UploadId>b</UploadId>\
            <Initiated>2001-09-09T01:46:40Z</Initiated></Upload>\
        <Upload><Key>tier-2/k</Key><UploadId>c</UploadId><Initiated>2001-09-09T01:46:40Z</Initiated></Upload>\
        <Upload><Key>tier/no//key</Key><UploadId>d</UploadId><Initiated>2001-09-09T01:46:40Z</Initiated></Upload>\
        </ListMultipartUploadsResult>";
    let (fake, store) = service();
    // A store that lists nothing below a prefix is asked for the whole bucket's.
    fake.order(Kind::Get, Reply::Raw(200, &[], "<ListMultipartUploadsResult></ListMultipartUploadsResult>"));
    fake.order(Kind::Get, Reply::Raw(200, &[], UPLOADS));
    fake.order(Kind::Get, Reply::Raw(200, &[], "<ListBucketResult></ListBucketResult>"));
    let page = block_on(store.uploads("", None, 10)).unwrap();
    let ids: Vec<_> = page.uploads.iter().map(|upload| (upload.id.as_str(), upload.started_us)).collect();
    assert_eq!((ids, page.next), (vec![("a", MODIFIED), ("b", MODIFIED)], None));
    let asked: Vec<_> =
        fake.requests(Kind::Get).iter().map(|request| request.query.contains("prefix=tier")).collect();
    assert_eq!(asked, [true, false, true]);
}

#[test]
fn an_object_that_asked_what_the_store_can_do_and_stayed_is_shown_and_removed_and_no_other_is() {
    const PROBE: &str = ".seglift-probe-3f2504e0-4f89-11d3-9a0c-0305e82c3301";
    const UPLOADS: &str = "<ListMultipartUploadsResult>\
        <Upload><Key>tier/k</Key><UploadId>a</UploadId><Initiated>2001-09-09T01:46:40Z</Initiated></Upload>\
        </ListMultipartUploadsResult>";
    const OBJECTS: &str = "<ListBucketResult><Contents><Key>tier/.seglift-probe-3f2504e0-4f89-11d3-9a0c-0305e82c3301</Key>\
        <LastModified>2001-09-09T01:46:40Z</LastModified><Size>70</Size></Contents>\
        <Contents><Key>tier/.seglift-probe-of-somebody</Key><LastModified>2001-09-09T01:46:40Z</LastModified></Contents>\
        </ListBucketResult>";
    let (fake, store) = service();
    fake.order(Kind::Get, Reply::Raw(200, &[], UPLOADS));
    fake.order(Kind::Get, Reply::Raw(200, &[], OBJECTS));
    let page = block_on(store.uploads("", None, 10)).unwrap();
    let names: Vec<_> = page.uploads.iter().map(|upload| (upload.name.as_str(), upload.of_owner)).collect();
    assert_eq!(names, [("k", None), (PROBE, None)]);
    assert!(fake.requests(Kind::Get)[1].query.contains("prefix=tier%2F.seglift-probe-"));

    fake.order(Kind::Head, Reply::Raw(200, HEAD, ""));
    let arrived = block_on(store.arrived(&page.uploads[1])).unwrap();
    assert_eq!(arrived, Some(Arrived { newest_us: MODIFIED, bytes: 0 }));
    assert!(block_on(store.abort_upload(&page.uploads[1])).unwrap());
    assert_eq!(fake.requests(Kind::Delete)[0].path, format!("/bucket/tier/{PROBE}"));

    // What has no id and is not called so is no upload, and surely not an object to remove.
    let nothing = Unfinished { id: String::new(), ..upload() };
    assert_eq!(block_on(store.abort_upload(&nothing)).unwrap_err().code(), Code::Internal);
    assert_eq!(fake.requests(Kind::Delete).len(), 1);
}

#[test]
fn the_newest_part_counts_over_all_pages_and_an_upload_that_ended_is_gone() {
    const FIRST: &str = "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>\
        <Part><PartNumber>1</PartNumber><Size>7</Size><LastModified>2001-09-09T01:46:50Z</LastModified></Part></ListPartsResult>";
    const SECOND_PAGE: &str = "<ListPartsResult><IsTruncated>false</IsTruncated>\
        <Part><PartNumber>2</PartNumber><Size>5</Size><LastModified>2001-09-09T01:46:45Z</LastModified></Part></ListPartsResult>";
    let (fake, store) = service();
    fake.order(Kind::Parts, Reply::Raw(200, &[], FIRST));
    fake.order(Kind::Parts, Reply::Raw(200, &[], SECOND_PAGE));
    let arrived = block_on(store.arrived(&upload())).unwrap();
    assert_eq!(arrived, Some(Arrived { newest_us: MODIFIED + 10 * SECOND, bytes: 12 }));
    fake.order(Kind::Parts, Reply::Error(404, "NoSuchUpload"));
    assert_eq!(block_on(store.arrived(&upload())).unwrap(), None);
    fake.order(Kind::Parts, Reply::Raw(200, &[], FIRST));
    fake.order(Kind::Parts, Reply::Raw(200, &[], FIRST));
    assert_eq!(block_on(store.arrived(&upload())).unwrap_err().code(), Code::Unavailable);
    fake.order(Kind::Abort, Reply::Error(404, "NoSuchUpload"));
    assert!(!block_on(store.abort_upload(&upload())).unwrap());
    fake.order(Kind::Abort, Reply::Error(403, "AccessDenied"));
    assert_eq!(block_on(store.abort_upload(&upload())).unwrap_err().code(), Code::PermissionDenied);
}
