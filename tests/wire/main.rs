//! What the wire does to whole operations: a proxy between the library and a server of S3 in this process fails on
//! purpose. The same on real servers is in tests/stores/wire.rs.
//!
//! What single exchanges come to is tested with scripted answers (tests/store_s3_*.rs). Here it is what a host sees:
//! each operation ends as docs/semantics.md says, with the right bytes or a typed error, by its deadline, and nothing is
//! left behind that reap cannot remove.

#[path = "../s3_support/flat.rs"]
#[allow(dead_code, reason = "it is shared")]
mod flat;
#[path = "../s3_support/inprocess.rs"]
#[allow(dead_code, reason = "it is shared")]
mod inprocess;
#[path = "../proxy/mod.rs"]
mod proxy;
mod scripts;
mod seeds;
mod single;
mod site;

use inprocess::Server;
use site::Site;
use std::sync::Arc;

/// An empty bucket of a server in this process.
fn with_server(run: impl FnOnce(&Site)) {
    let server = Server::start();
    let bucket = server.bucket.clone();
    run(&Site {
        endpoint: server.endpoint(),
        access: inprocess::ACCESS.into(),
        secret: inprocess::SECRET.into(),
        bucket: inprocess::BUCKET.into(),
        look: Arc::new(move || (bucket.keys(), bucket.uploads())),
    });
}

#[test]
fn each_fault_heals_or_is_the_error_that_it_is() {
    with_server(|site| single::each_fault_heals_or_is_the_error_that_it_is(site, "in-process"));
}

#[test]
fn each_fault_that_goes_on_ends_by_the_deadline() {
    with_server(|site| single::each_fault_that_goes_on_ends_by_the_deadline(site, "in-process"));
}

#[test]
fn what_cannot_be_aborted_is_reaped() {
    with_server(|site| single::what_cannot_be_aborted_is_reaped(site, "in-process"));
}

#[test]
fn a_condition_that_is_lost_on_the_way_overwrites_nothing() {
    with_server(|site| single::a_condition_that_is_lost_on_the_way_overwrites_nothing(site, "in-process"));
}

#[test]
fn a_probe_that_arrives_twice_says_nothing_of_the_key() {
    with_server(|site| single::a_probe_that_arrives_twice_says_nothing_of_the_key(site, "in-process"));
}

#[test]
fn a_schedule_of_random_faults_ends_as_the_model_says() {
    with_server(|site| seeds::schedules(site, "wire", "in-process", 24, 600));
}
