//! The language of the proxy's scripts.

use super::proxy::script::{Fault, Operation, Script};

#[test]
fn a_script_prints_as_the_text_that_makes_it() {
    let text = "get=2:503&get=3+:cut-10&put=*:lost&part=1:400-ExpiredToken&commit=1:200-InternalError&list=1:html-502\
                &head=1:delay-50ms&delete=2:done-500&begin=1:up-break-7&abort=1:no-etag&get=1:up-drip-5&seed=7&rate=20";
    let script: Script = text.parse().unwrap();
    assert_eq!(script.to_string(), text);
    assert_eq!("get=2:503,3+:short-10".parse::<Script>().unwrap().rules.len(), 2);
}

#[test]
fn what_is_no_script_is_refused_with_an_example() {
    for bad in [
        "get",
        "got=1:stall",
        "get=1",
        "get=0:stall",
        "get=1:oops",
        "get=1:short-",
        "get=1:delay-5",
        "get=1:short-0",
        "seed=x",
        "seed=1&rate=1001",
        "get=1:html",
        "get=1:stall-3",
    ] {
        let error = bad.parse::<Script>().unwrap_err();
        assert!(error.contains("get=2:503"), "{bad}: {error}");
    }
}

#[test]
fn random_faults_depend_on_the_seed_alone_and_come_at_their_rate() {
    let faults = |text: &str| {
        let script: Script = text.parse().unwrap();
        (1..=10_000).map(|n| script.fault(Operation::Get, n)).collect::<Vec<Option<Fault>>>()
    };
    assert_eq!(faults("seed=3&rate=100"), faults("seed=3&rate=100"));
    assert_ne!(faults("seed=3&rate=100"), faults("seed=4&rate=100"));
    let count = faults("seed=3&rate=100").iter().flatten().count();
    assert!((900..1100).contains(&count), "{count} of 10000");
}

#[test]
fn a_request_is_known_by_its_method_and_query() {
    for (line, name) in [
        ("PUT /b/k", "put"),
        ("PUT /b/k?partNumber=1&uploadId=u", "part"),
        ("PUT /b/k?x-id=UploadPart&partNumber=1&uploadId=u", "part"),
        ("POST /b/k?uploads", "begin"),
        ("POST /b/k?uploads=", "begin"),
        ("POST /b/k?uploadId=u", "commit"),
        ("DELETE /b/k?uploadId=u", "abort"),
        ("DELETE /b/k", "delete"),
        ("POST /b/?delete", "delete"),
        ("GET /b/k?x-id=GetObject", "get"),
        ("HEAD /b/k", "head"),
        ("GET /b?list-type=2&prefix=a", "list"),
        ("GET /b/?uploads&prefix=a", "uploads"),
        ("GET /b/k?uploadId=u", "parts"),
        ("GET /", "other"),
        ("PUT /b", "other"),
        ("HEAD /b", "other"),
    ] {
        let (method, target) = line.split_once(' ').unwrap();
        assert_eq!(Operation::of(method, target).name(), name, "{line}");
    }
}
