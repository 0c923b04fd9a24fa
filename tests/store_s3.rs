//! The store of S3 keeps what every store promises, on a server in this process.

mod s3_support;

use s3_support::inprocess::Server;
use seglift::store::conformance::*;

fn place() -> Place {
    let server = Server::start();
    let store = server.store("tier");
    // What lies in the bucket and not below the prefix; uploads that were dropped stay for `reap`.
    let strays = move || server.bucket.keys().into_iter().filter(|key| !key.starts_with("tier/")).collect();
    Place { store, rubbish: Box::new(strays) }
}

seglift::store_conformance!(place; of S3);
seglift::store_conformance!(@ place, dropped_uploads_and_puts_leave_nothing);
