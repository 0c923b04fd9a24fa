//! What the wire does to whole operations, on real servers: the same faults and schedules as in tests/wire, which says
//! what they mean. And the one thing that plain HTTP has not: TLS that ends without its farewell.

use crate::servers::{Server, minio, versitygw};
use seglift::{
    Driver,
    codec::Codec,
    engine::{Call, Engine, EngineOptions},
    reader::SegmentRef,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

#[path = "../proxy/mod.rs"]
mod proxy;
#[path = "../wire/seeds.rs"]
mod seeds;
#[path = "../wire/single.rs"]
mod single;
#[path = "../wire/site.rs"]
mod site;

use proxy::tunnel::Tunnel;
use site::{LARGE, Site, content, offload, read};

/// An empty bucket.
fn site(server: &'static Server) -> Site {
    let bucket = server.bucket();
    let name = bucket.clone();
    Site {
        endpoint: server.endpoint.clone(),
        access: server.access_key.clone(),
        secret: server.secret_key.clone(),
        bucket,
        look: Arc::new(move || (server.keys(&name), server.uploads(&name))),
    }
}

macro_rules! on_both {
    ($($name:ident: $run:expr;)+) => {
        mod on_versitygw {
            use super::*;
            $(#[test] fn $name() { ($run)(&site(versitygw()), "versitygw") })+
        }
        mod on_minio {
            use super::*;
            $(#[test] fn $name() { ($run)(&site(minio()), "MinIO") })+
        }
    };
}

on_both! {
    each_fault_heals_or_is_the_error_that_it_is: single::each_fault_heals_or_is_the_error_that_it_is;
    each_fault_that_goes_on_ends_by_the_deadline: single::each_fault_that_goes_on_ends_by_the_deadline;
    what_cannot_be_aborted_is_reaped: single::what_cannot_be_aborted_is_reaped;
    a_condition_that_is_lost_on_the_way_overwrites_nothing:
        single::a_condition_that_is_lost_on_the_way_overwrites_nothing;
    a_probe_that_arrives_twice_says_nothing_of_the_key: single::a_probe_that_arrives_twice_says_nothing_of_the_key;
    a_schedule_of_random_faults_ends_as_the_model_says:
        |site: &Site, name| seeds::schedules(site, "stores", name, 12, 300);
}

/// Every place where a connection can end: in the handshake, in a head, in a body.
#[test]
fn tls_that_ends_without_a_farewell_is_never_taken_for_the_end_of_a_body() {
    let server = Server::start("minio", true);
    let bucket = server.bucket();
    let tunnel = Tunnel::start(server.endpoint.trim_start_matches("https://"));
    let mut config = server.config();
    config.set("s3.endpoint", &format!("https://{}", tunnel.host())).unwrap();
    config.set("retry.pause.first", "10ms").unwrap();
    config.set("retry.attempts", "3").unwrap();
    let open = || {
        let options = EngineOptions { threads: 2, cache_size: 0, ..EngineOptions::default() };
        Driver::open(&Engine::new(options).unwrap(), &format!("s3://{bucket}/tls"), &config).unwrap()
    };
    let call = Call { deadline: Some(Duration::from_secs(20)), ..Call::default() };
    let bytes = content(5, LARGE);
    let receipt = offload(&open(), "k", &bytes, Codec::None, &call).unwrap();
    let r = SegmentRef { key: "k".into(), token: Some(receipt.token) };
    let (mut failed, mut continued) = (0, 0);
    for cut in [1, 500, 1500, 3000, 20_000, 100_000, 1_000_000, 3_000_000] {
        tunnel.cut_after(cut);
        // Connections are kept by the engine: a new one has none.
        let driver = open();
        let started = Instant::now();
        let done = read(&driver, &r, 0..LARGE as u64, &call);
        assert!(started.elapsed() < Duration::from_secs(22), "{cut}: {:?}", started.elapsed());
        match done {
            // What was received counts, so the attempts that follow go on from there.
            Ok(back) => {
                continued += 1;
                assert!(back[..] == bytes[..], "{cut}: wrong bytes");
            }
            Err(e) => {
                failed += 1;
                assert!(e.retryable(), "{cut}: {e}");
            }
        }
        tunnel.cut_after(u64::MAX);
        let back = read(&open(), &r, 0..LARGE as u64, &call).unwrap();
        assert!(back[..] == bytes[..], "{cut}: wrong bytes afterwards");
    }
    assert!(tunnel.cuts() >= 8, "{} connections were cut", tunnel.cuts());
    assert!(failed > 0, "{continued} reads went on");
}
