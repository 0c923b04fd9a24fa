//! What the store of S3 makes of answers that are not what was asked for: never wrong bytes, never an empty
//! listing, never a missing object that may be there; always an error that says what came.

mod s3_support;

use futures_util::{StreamExt, TryStreamExt};
use s3_support::{
    inprocess,
    scripted::{Answer, PATIENCE, Request, Scripted},
};
use seglift::{
    Code, Error, Result,
    config::Secret,
    store::{
        Entry, GetRange, ObjectStore,
        conformance::{block_on, bytes, key},
        open,
        s3::Sse,
    },
};
use std::{sync::Arc, time::Instant};

const DATE: &str = "Sat, 21 Nov 2026 12:00:00 GMT";

/// The bytes of a range of `k`.
fn read(store: &Arc<dyn ObjectStore>, range: GetRange) -> Result<Vec<u8>> {
    block_on(async {
        let pieces: Vec<_> = store.get(&key("k"), range).await?.body.try_collect().await?;
        Ok(pieces.concat())
    })
}

fn first_ten(server: &Scripted) -> Result<Vec<u8>> {
    read(&server.store(), GetRange::Range(0..10))
}

fn refused(server: &Scripted) -> Error {
    first_ten(server).expect_err("bytes came of an answer that is wrong")
}

fn assert_odd(error: &Error, words: &str) {
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.message().contains("cannot read k in bucket bucket at http://127.0.0.1:"), "{error}");
    assert!(error.message().contains(words), "{words:?} in: {error}");
}

// Reading.

#[test]
fn a_range_that_was_not_asked_for_is_refused() {
    for wrong in ["bytes 1-10/100", "bytes 0-8/100", "bytes 0-10/100", "bytes 0-9/10x", "bytes 0-9/*", "junk"]
    {
        let server = Scripted::always(Answer::new(206).header("Content-Range", wrong).body("0123456789"));
        assert_odd(&refused(&server), "the answer h");
    }
}

#[test]
fn a_part_that_does_not_say_which_is_refused() {
    assert_odd(&refused(&Scripted::always(Answer::new(206).body("0123456789"))), "does not say which");
}

#[test]
fn where_ranges_are_ignored_the_wanted_bytes_are_taken_from_near_the_start() {
    let object = bytes(1, 1_500_000);
    let server = Scripted::always(Answer::new(200).body(&object));
    let store = server.store();
    for range in [0..10, 5..5_000, 1_000_000..1_400_000, 1_048_576..1_500_000] {
        let wanted = object.slice(range.start as usize..range.end as usize);
        assert!(read(&store, GetRange::Range(range.clone())).unwrap() == wanted, "{range:?}");
    }
    let error = read(&store, GetRange::Range(1_048_577..1_048_578)).unwrap_err();
    assert_odd(&error, "the store ignores ranges");
    assert!(!error.retryable());
    assert_eq!(read(&store, GetRange::Range(1_500_000..1_500_001)).unwrap_err().code(), Code::OutOfRange);
    let error = read(&store, GetRange::Suffix(10)).unwrap_err();
    assert_odd(&error, "the store ignores ranges");
    assert!(read(&store, GetRange::Suffix(1_500_000)).unwrap() == object);
}

#[test]
fn a_body_without_a_length_is_refused_where_it_says_nothing_else() {
    let server = Scripted::always(Answer::new(200).chunked().body("0123456789"));
    assert_odd(&refused(&server), "does not say how long the object is");
}

#[test]
fn a_short_body_is_an_error_after_its_bytes() {
    let server = Scripted::always(Answer::part(0, 100, b"0123456789").closes_after(4));
    assert_odd(&refused(&server), "broke off");
    let chunked = Answer::part(0, 100, b"0123456789").chunked().body("0123");
    assert_odd(&refused(&Scripted::always(chunked)), "ended 6 bytes before its end");
}

#[test]
fn a_long_body_is_refused() {
    let long = || Answer::part(0, 100, b"0123456789").body("0123456789abc");
    assert_odd(&refused(&Scripted::always(long())), "two lengths");
    assert_odd(&refused(&Scripted::always(long().chunked())), "longer than it had said");
}

#[test]
fn a_reset_in_the_middle_of_a_body_is_a_retryable_error_that_names_the_object() {
    let server = Scripted::always(Answer::part(0, 100, &[7; 10]).resets_after(4));
    let error = refused(&server);
    assert_odd(&error, "broke off");
    assert!(error.retryable());
}

#[test]
fn an_answer_that_does_not_come_or_does_not_go_on_times_out() {
    for stalling in [Answer::silence(), Answer::part(0, 100, &[7; 10]).stalls_after(4)] {
        let begun = Instant::now();
        let error = refused(&Scripted::always(stalling));
        assert_eq!(error.code(), Code::TimedOut, "{error}");
        assert!(error.retryable() && error.message().contains("no byte moved for 500ms"), "{error}");
        assert!(begun.elapsed() >= PATIENCE);
    }
}

#[test]
fn a_listing_or_a_delete_without_an_answer_times_out() {
    let server = Scripted::always(Answer::new(200).body(listing(&["tier/a"], false)).stalls_after(30));
    let store = server.store();
    block_on(async {
        assert_eq!(store.list("", None, 10).await.unwrap_err().code(), Code::TimedOut);
        for answer in store.delete(&[key("a"), key("b")]).await {
            assert_eq!(answer.unwrap_err().code(), Code::TimedOut);
        }
    });
}

#[test]
fn a_range_behind_the_end_tells_the_length_of_the_object() {
    let told = Answer::error(416, "InvalidRange", "The requested range is not satisfiable");
    let error = refused(&Scripted::always(told.header("Content-Range", "bytes */0")));
    assert_eq!((error.code(), error.http_status()), (Code::OutOfRange, 416), "{error}");
    assert!(error.message().contains("starts at byte 0 and the object has 0"), "{error}");
    let lie = Answer::error(416, "InvalidRange", "no").header("Content-Range", "bytes */100");
    assert_odd(&refused(&Scripted::always(lie)), "which has 100 bytes");
    let bare = refused(&Scripted::always(Answer::new(416)));
    assert_eq!(bare.code(), Code::OutOfRange);
}

#[test]
fn a_suffix_of_an_empty_object_is_empty_however_the_store_says_so() {
    let range = |_: usize, request: &Request| match request.method.as_str() {
        "HEAD" => Answer::new(200).header("Content-Length", "0").header("Last-Modified", DATE),
        _ => Answer::new(416),
    };
    let size = "<Error><Code>InvalidRange</Code><ActualObjectSize>0</ActualObjectSize></Error>";
    for server in [
        Scripted::always(Answer::new(200)),
        Scripted::always(Answer::new(416).header("Content-Range", "bytes */0")),
        Scripted::always(Answer::new(416).body(size)),
        Scripted::start(range),
    ] {
        let get = block_on(server.store().get(&key("k"), GetRange::Suffix(10))).unwrap();
        assert_eq!((get.object_len, get.range), (0, 0..0));
    }
}

#[test]
fn a_store_that_knows_no_suffix_is_asked_for_the_length_first_and_no_suffix_again() {
    let refusing = |_: usize, request: &Request| match request.header("range") {
        "" => Answer::new(200).header("Content-Length", "100").header("Last-Modified", DATE),
        "bytes=90-99" => Answer::part(90, 100, b"0123456789"),
        range if range.starts_with("bytes=-") => Answer::error(501, "NotImplemented", "no suffix"),
        other => panic!("the range {other} was asked for"),
    };
    let server = Scripted::start(refusing);
    let store = server.store();
    assert_eq!(read(&store, GetRange::Suffix(10)).unwrap(), b"0123456789");
    assert_eq!(read(&store, GetRange::Suffix(10)).unwrap(), b"0123456789");
    assert_eq!(server.seen().len(), 3 + 2);
}

#[test]
fn checksums_of_whole_objects_do_not_concern_a_range() {
    let answer =
        Answer::part(0, 100, b"0123456789").header("x-amz-checksum-crc32", "AAAAAA==").header("ETag", "");
    assert_eq!(first_ten(&Scripted::always(answer)).unwrap(), b"0123456789");
}

#[test]
fn a_deleted_and_an_archived_object_say_what_they_are() {
    let deleted = Answer::error(404, "NoSuchKey", "gone").header("x-amz-delete-marker", "true");
    let error = refused(&Scripted::always(deleted));
    assert!(error.code() == Code::NotFound && error.message().contains("older versions"), "{error}");
    let archived = Answer::error(403, "InvalidObjectState", "not valid for the object's storage class");
    let error = refused(&Scripted::always(archived));
    assert!(error.code() == Code::Archived && error.message().contains("RestoreObject"), "{error}");
}

#[test]
fn a_customers_key_goes_along_with_each_read() {
    let server = Scripted::start(|_, request| match request.method.as_str() {
        "HEAD" => Answer::new(200).header("Content-Length", "10").header("Last-Modified", DATE),
        _ => Answer::part(0, 10, b"0123456789"),
    });
    let mut options = server.options();
    let base64 = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    options.s3.options.sse = Sse::Customer { key: Secret::new(base64) };
    let store = open("s3://bucket/tier", &options).unwrap();
    block_on(store.head(&key("k"))).unwrap();
    read(&store, GetRange::Range(0..10)).unwrap();
    for request in server.seen() {
        assert_eq!(request.header("x-amz-server-side-encryption-customer-algorithm"), "AES256");
        assert_eq!(request.header("x-amz-server-side-encryption-customer-key"), base64);
        assert!(!request.header("x-amz-server-side-encryption-customer-key-md5").is_empty());
    }
}

// Looking.

#[test]
fn what_a_head_cannot_say_a_get_of_one_byte_does() {
    for (head, status, code, expected) in [
        (404, 404, "NoSuchKey", Code::NotFound),
        (404, 404, "NoSuchBucket", Code::InvalidConfig),
        (403, 403, "AccessDenied", Code::NotFoundOrDenied),
        (403, 403, "InvalidAccessKeyId", Code::Unauthenticated),
        (403, 403, "RequestTimeTooSkewed", Code::Unauthenticated),
        (400, 400, "ExpiredToken", Code::Unauthenticated),
    ] {
        let server = Scripted::start(move |_, request| match request.method.as_str() {
            "HEAD" => Answer::new(head),
            _ => Answer::error(status, code, "as it is"),
        });
        let error = block_on(server.store().head(&key("k"))).unwrap_err();
        assert_eq!((error.code(), error.service_code()), (expected, code), "{error}");
    }
}

#[test]
fn a_head_that_fails_for_a_moment_costs_no_second_request() {
    let server = Scripted::always(Answer::new(503).header("Retry-After", "3"));
    let error = block_on(server.store().head(&key("k"))).unwrap_err();
    assert_eq!((error.code(), error.retry_after().map(|d| d.as_secs())), (Code::Unavailable, Some(3)));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_missing_object_is_never_made_up_from_two_answers_that_differ() {
    let server = Scripted::start(|_, request| match request.method.as_str() {
        "HEAD" => Answer::new(404),
        _ => Answer::part(0, 10, b"0"),
    });
    let error = block_on(server.store().head(&key("k"))).unwrap_err();
    assert!(error.code() == Code::Unavailable && error.retryable(), "{error}");
}

#[test]
fn a_head_without_length_or_time_is_refused() {
    let lacking = Answer::new(200).header("Content-Length", "5");
    let error = block_on(Scripted::always(lacking).store().head(&key("k"))).unwrap_err();
    assert!(error.code() == Code::Unavailable && error.message().contains("from when"), "{error}");
}

// Listing.

fn listing(keys: &[&str], more: bool) -> String {
    let objects: String = keys
        .iter()
        .map(|key| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-21T12:00:00.000Z</LastModified><Size>5</Size></Contents>"
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <IsTruncated>{more}</IsTruncated>{objects}</ListBucketResult>"
    )
}

fn list(server: &Scripted, max: usize) -> Result<Vec<String>> {
    let page = block_on(server.store().list("", None, max))?;
    Ok(page.entries.into_iter().map(|entry| entry.key.to_string()).collect())
}

#[test]
fn a_listing_that_is_none_is_an_error_and_never_an_empty_one() {
    let whole = listing(&["tier/a", "tier/b"], false);
    let mut wrong = vec![
        String::new(),
        "<html><body>Welcome to nginx!</body></html>".to_owned(),
        "not found, but politely".to_owned(),
        "<ListBucketResult></ListBucketResult>".to_owned(),
        "<ListBucketResult/>".to_owned(),
        listing(&["tier/a", "tier/b"], false).replace("<Size>5</Size>", ""),
        listing(&["tier/b", "tier/a"], false),
        listing(&["tier/a", "tier/a"], false),
        listing(&[], true),
    ];
    wrong.extend((40..whole.len() - 1).step_by(7).map(|end| whole[..end].to_owned()));
    for body in wrong {
        let answer = list(&Scripted::always(Answer::new(200).body(&body)), 10);
        let error = answer.expect_err(&body);
        assert_eq!(error.code(), Code::Unavailable, "{body}: {error}");
        assert!(error.message().contains("cannot list bucket bucket at http://127"), "{error}");
    }
    assert_eq!(list(&Scripted::always(Answer::new(200).body(&whole)), 10).unwrap(), ["a", "b"]);
}

#[test]
fn an_endless_answer_is_cut_off() {
    let mut endless = listing(&["tier/a"], false);
    endless.insert_str(60, &format!("<!--{}-->", " ".repeat(12 << 20)));
    for status in [200, 500] {
        let server = Scripted::always(Answer::new(status).body(&endless));
        let error = list(&server, 10).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(error.message().contains("longer than 8388608 bytes"), "{error}");
        assert!(error.message().len() < 1_000, "{} bytes", error.message().len());
    }
}

#[test]
fn a_page_of_what_is_not_ours_is_passed_over() {
    let server = Scripted::start(|_, request| {
        let after = request.target.split(['?', '&']).find_map(|pair| pair.strip_prefix("start-after="));
        let page = match after.unwrap_or_default() {
            "" => listing(
                &["tier/", "tier/.seglift-probe-3f2504e0-4f89-11d3-9a0c-0305e82c3301", "tier/a//b"],
                true,
            ),
            "tier%2Fa%2F%2Fb" => listing(&["tier/c", "tier/d\\e"], true),
            "tier%2Fd%5Ce" => listing(&["tier/f"], false),
            other => panic!("asked for what is after {other}"),
        };
        Answer::new(200).body(page)
    });
    assert_eq!(list(&server, 10).unwrap(), ["c", "f"]);
    assert_eq!(server.seen().len(), 3);
    let first = &server.seen()[0].target;
    assert!(first.contains("prefix=tier%2F") && first.contains("max-keys=11"), "{first}");
}

#[test]
fn a_store_that_does_not_go_on_is_not_asked_for_ever() {
    let server = Scripted::always(Answer::new(200).body(listing(&["tier/a//b"], true)));
    assert_eq!(list(&server, 10).unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.seen().len(), 2);
    let token = listing(&[], true).replace(
        "</ListBucketResult>",
        "<NextContinuationToken>t</NextContinuationToken></ListBucketResult>",
    );
    let server = Scripted::always(Answer::new(200).body(token));
    assert_eq!(list(&server, 10).unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn keys_that_xml_cannot_carry_are_asked_for_in_another_way() {
    let server = Scripted::start(|_, request| {
        let encoded = request.target.contains("encoding-type=url");
        let key = if encoded { "tier%2Fa%01b" } else { "tier/a\u{1}b" };
        let page = listing(&[key, if encoded { "tier%2Fa+c" } else { "tier/a c" }], false);
        let told = if encoded { "<EncodingType>url</EncodingType></List" } else { "</List" };
        Answer::new(200).body(page.replace("</List", told))
    });
    assert_eq!(list(&server, 10).unwrap(), ["a c"], "the key with a control character is no key of ours");
}

// Deleting.

fn deleted(errors: &[(&str, &str)]) -> String {
    let errors: String = errors
        .iter()
        .map(|(key, code)| {
            format!("<Error><Key>{key}</Key><Code>{code}</Code><Message>so it is</Message></Error>")
        })
        .collect();
    format!("<?xml version=\"1.0\"?>\n<DeleteResult>{errors}</DeleteResult>")
}

fn delete(server: &Scripted, names: &[&str]) -> Vec<Option<Code>> {
    let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
    let answers = block_on(server.store().delete(&keys));
    answers.into_iter().map(|answer| answer.err().map(|e| e.code())).collect()
}

#[test]
fn each_key_of_a_batch_has_its_own_answer() {
    let errors = [
        ("tier/b", "AccessDenied"),
        ("tier/c", "NoSuchKey"),
        ("tier/d", "InternalError"),
        ("tier/e", "SlowDown"),
    ];
    let server = Scripted::always(Answer::new(200).body(deleted(&errors)));
    assert_eq!(
        delete(&server, &["a", "b", "c", "d", "e"]),
        [None, Some(Code::PermissionDenied), None, Some(Code::Unavailable), Some(Code::Throttled)]
    );
    let request = &server.seen()[0];
    let body = String::from_utf8_lossy(&request.body);
    assert!(body.contains("<Quiet>true</Quiet>") && body.contains("<Key>tier/a</Key>"), "{body}");
    let digest = ["content-md5", "x-amz-checksum-crc32", "x-amz-checksum-crc64nvme"];
    assert!(digest.iter().any(|name| !request.header(name).is_empty()), "S3 wants a digest of the list");
}

#[test]
fn an_error_of_a_key_that_was_not_asked_for_is_everybodys() {
    let server = Scripted::always(Answer::new(200).body(deleted(&[("tier%2Fb", "AccessDenied")])));
    assert_eq!(delete(&server, &["a", "b"]), [Some(Code::PermissionDenied); 2]);
}

#[test]
fn a_batch_whose_answer_is_none_deleted_nothing_for_certain() {
    let whole = deleted(&[("tier/b", "AccessDenied")]);
    let cut = &whole[..whole.len() - 20];
    for body in [cut, "<html><p>hello</p></html>", "hello", ""] {
        let server = Scripted::always(Answer::new(200).body(body));
        assert_eq!(delete(&server, &["a", "b"]), [Some(Code::Unavailable); 2], "{body}");
    }
}

#[test]
fn a_store_without_batches_gets_single_deletes_from_then_on() {
    for refusal in [
        Answer::error(501, "NotImplemented", "no"),
        Answer::new(405),
        Answer::error(400, "MissingContentMD5", "Missing required header for this request: Content-Md5"),
    ] {
        let server = Scripted::start(move |_, request| match request.method.as_str() {
            "POST" => refusal.clone(),
            "DELETE" if request.target.contains("/missing") => Answer::error(404, "NoSuchKey", "none"),
            "DELETE" if request.target.contains("/denied") => Answer::error(403, "AccessDenied", "no"),
            _ => Answer::new(204),
        });
        let store = server.store();
        let keys = ["a", "missing", "denied", "d"].map(key);
        for _ in 0..2 {
            let answers = block_on(store.delete(&keys));
            let codes: Vec<_> = answers.into_iter().map(|answer| answer.err().map(|e| e.code())).collect();
            assert_eq!(codes, [None, None, Some(Code::PermissionDenied), None]);
        }
        let posts = server.seen().iter().filter(|request| request.method == "POST").count();
        assert_eq!(posts, 1, "the batch is tried once");
    }
}

#[test]
fn many_keys_go_in_batches_of_a_thousand() {
    let server = Scripted::always(Answer::new(200).body(deleted(&[])));
    let names: Vec<String> = (0..2_500).map(|i| format!("k{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(delete(&server, &names), [None; 2_500]);
    let counts: Vec<usize> =
        server.seen().iter().map(|r| String::from_utf8_lossy(&r.body).matches("<Key>").count()).collect();
    assert_eq!(counts, [1_000, 1_000, 500]);
}

// Errors.

#[test]
fn a_404_that_is_not_s3s_is_no_missing_object() {
    for answer in [Answer::new(404), Answer::new(404).body("<html><h1>404 Not Found</h1><hr>nginx</html>")] {
        let error = refused(&Scripted::always(answer));
        assert_odd(&error, "is the endpoint right?");
        assert!(!error.retryable());
    }
    let cut =
        &"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist</Message></Error>"[..14];
    assert_odd(&refused(&Scripted::always(Answer::new(404).body(cut))), "not S3's XML");
}

#[test]
fn the_message_of_an_error_has_ids_and_no_secret() {
    let mirror = Scripted::start(|_, request| {
        Answer::new(403).body(format!("You sent {}", request.header("authorization")))
    });
    let error = refused(&mirror);
    assert!(mirror.seen()[0].header("authorization").contains("AKIASCRIPTED"));
    for text in [error.message(), &format!("{error:?}")] {
        assert!(!text.contains("AKIASCRIPTED") && !text.contains("Signature"), "{text}");
    }
    let error = refused(&Scripted::always(Answer::error(403, "AccessDenied", "Access Denied")));
    assert_eq!(error.code(), Code::NotFoundOrDenied);
    assert!(
        error.message().ends_with(
            "(Service: Amazon S3; Status Code: 403; Error Code: AccessDenied; Request ID: R1; S3 Extended Request ID: X1)"
        ),
        "{error}"
    );
    assert_eq!((error.request_id(), error.extended_request_id()), ("R1", "X1"));
}

#[test]
fn a_clock_that_differs_and_a_bucket_elsewhere_are_called_so() {
    let skewed = Answer::error(403, "RequestTimeTooSkewed", "The difference is too large.");
    let error = refused(&Scripted::always(skewed.header("Date", "Thu, 01 Jan 2015 00:00:00 GMT")));
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(
        error.message().contains("this machine's clock is") && error.message().contains("ahead"),
        "{error}"
    );
    let elsewhere = Answer::error(301, "PermanentRedirect", "use the right endpoint");
    let error = refused(&Scripted::always(elsewhere.header("x-amz-bucket-region", "eu-west-1")));
    assert!(
        error.code() == Code::InvalidConfig && error.message().contains("s3.region=eu-west-1"),
        "{error}"
    );
}

#[test]
fn no_connection_says_why_there_is_none() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = Scripted::always(Answer::new(400));
    for (endpoint, words, passes) in [
        (format!("http://{closed}"), "nothing listens there", true),
        ("http://no-such-host.invalid".to_owned(), "the host is not known", true),
        (format!("https://{}", plain.host()), "does not speak TLS", false),
    ] {
        let mut options = inprocess::options(&endpoint, "AKIASCRIPTED", "scripted-secret");
        options.s3.options.attempt_timeout = PATIENCE * 20;
        let error = read(&open("s3://bucket/tier", &options).unwrap(), GetRange::Range(0..1)).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert_eq!(error.retryable(), passes, "{error}");
        assert!(error.message().contains(words) && error.message().contains(&endpoint), "{words}: {error}");
    }
}

#[test]
fn pieces_arrive_while_the_body_does() {
    let server = Scripted::always(Answer::part(0, 1_000_000, &bytes(2, 900_000)).stalls_after(400_000));
    block_on(async {
        let mut body = server.store().get(&key("k"), GetRange::Range(0..900_000)).await.unwrap().body;
        let piece = body.next().await.unwrap().unwrap();
        assert!((1..=256 << 10).contains(&piece.len()));
    });
}

#[test]
fn an_object_is_deleted_without_its_condition_only_where_the_store_knows_none() {
    let entry = Entry { key: key("k"), len: 5, modified_us: 1_795_262_400_000_000 };
    for (status, code, lacks) in [
        (501, "NotImplemented", true),
        (400, "InvalidArgument", true),
        (400, "ExpiredToken", false),
        (400, "RequestTimeout", false),
        (503, "SlowDown", false),
    ] {
        let server =
            Scripted::start(move |_, request| match (request.method.as_str(), request.header("if-match")) {
                ("HEAD", _) => Answer::new(200)
                    .header("Content-Length", "5")
                    .header("ETag", "\"e\"")
                    .header("Last-Modified", DATE),
                ("DELETE", "") => Answer::new(204),
                ("DELETE", _) => Answer::error(status, code, "no"),
                other => panic!("{other:?}"),
            });
        let store = server.store();
        let removed = block_on(store.delete_unchanged(&entry));
        assert_eq!(removed.is_ok(), lacks, "{code}: {removed:?}");
        let bare = server.seen().iter().any(|r| r.method == "DELETE" && r.header("if-match").is_empty());
        assert_eq!(bare, lacks, "{code}");
    }
}
