//! The store of S3 keeps what every store promises, on a server in this process.

mod s3_support;

use s3_support::inprocess::Server;
use seglift::store::{Commit, conformance::*};
use std::time::Duration;

fn place() -> Place {
    let server = Server::start();
    let store = server.store("tier");
    // What lies in the bucket and not below the prefix; uploads that were dropped stay for `reap`.
    let strays = move || server.bucket.keys().into_iter().filter(|key| !key.starts_with("tier/")).collect();
    Place { store, rubbish: Box::new(strays) }
}

seglift::store_conformance!(place; of S3);
seglift::store_conformance!(@ place, dropped_uploads_and_puts_leave_nothing);

#[test]
fn a_resumed_upload_becomes_young_though_all_its_parts_are_there_already() {
    let server = Server::start();
    let (store, part) = (server.store("tier"), bytes(1, 5 << 20));
    block_on(async {
        let upload = store.begin(&key("k"), &info()).await.unwrap();
        let id = upload.id().unwrap();
        for number in [0, 1] {
            upload.put_part(number, u64::from(number) * (5 << 20), Blob::new(part.clone())).await.unwrap();
        }
        server.bucket.age(Duration::from_secs(2 * 86_400));
        let old = store.now().await.unwrap() - Duration::from_secs(86_400).as_micros() as i64;
        let page = store.uploads("", None, 10).await.unwrap();
        let newest_us = async || store.arrived(&page.uploads[0]).await.unwrap().unwrap().newest_us;
        assert!(newest_us().await < old);

        let upload = store.resume(&key("k"), &info(), &id).await.unwrap().unwrap();
        for number in [0, 1] {
            let offset = u64::from(number) * (5 << 20);
            if !upload.has_part(number, offset, Blob::new(part.clone())).await.unwrap() {
                upload.put_part(number, offset, Blob::new(part.clone())).await.unwrap();
            }
            assert!(newest_us().await > old, "a reap of all owners would take it for abandoned");
        }
        assert!(matches!(upload.commit().await, Commit::Done));
    });
}
