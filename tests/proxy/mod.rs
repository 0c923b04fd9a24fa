//! A proxy between a client and a store of S3 that breaks what passes, on purpose and repeatably.
//!
//! Purpose: the stores that fail on purpose, the scripted answers and the fake service each fail on one side of the
//! wire. This one stands in front of any server, real ones too, and fails *on* the wire: at any byte, in both
//! directions, with the store having done the request or not.
//!
//! Invariant: without a fault nothing changes but the connection. The `Host` header stays as the client signed it, so
//! signatures stay right, and heads keep their order and case.
//!
//! Trade-off: plain HTTP only. What TLS adds is that a connection which ends without its farewell is noticed;
//! [`tunnel`] passes bytes that it cannot read, for that.
#![allow(dead_code, reason = "each program uses a part of it")]

pub mod http;
pub mod relay;
pub mod script;
pub mod sign;
pub mod tunnel;

use self::{
    http::Head,
    script::{Fault, Operation, Script},
    sign::Keys,
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, runtime::Runtime};

/// A request that passed.
#[derive(Clone, Debug)]
pub struct Seen {
    pub operation: Operation,
    /// Its number among those of the operation, from 1.
    pub number: u64,
    /// `GET /bucket/key?query`
    pub line: String,
    pub fault: Option<Fault>,
}

/// What all connections share.
pub struct Shared {
    target: String,
    keys: Keys,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    script: Script,
    counts: [u64; Operation::ALL.len()],
    seen: Vec<Seen>,
}

impl Shared {
    fn fault(&self, operation: Operation, head: &Head) -> Option<Fault> {
        let mut state = self.state.lock().unwrap();
        let count = &mut state.counts[operation as usize];
        *count += 1;
        let number = *count;
        let fault = state.script.fault(operation, number);
        let line = format!("{} {}", head.word(0), head.word(1));
        state.seen.push(Seen { operation, number, line, fault: fault.clone() });
        fault
    }
}

/// A running proxy; stops when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Starts a proxy at a free port in front of `target` (`http://127.0.0.1:9000`). With the secret that its clients sign
    /// with it can take signed headers away.
    pub fn start(target: &str, secret: &str, script: Script) -> Proxy {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let target = target.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let state = Mutex::new(State { script, ..State::default() });
        let shared = Arc::new(Shared { target, keys: Keys { secret: secret.to_owned() }, state });
        let all = shared.clone();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shared = all.clone();
                tokio::spawn(async move { relay::relay(socket, &shared).await });
            }
        });
        Proxy { address, shared, runtime: Some(runtime) }
    }

    /// The URL that clients are given.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this goes wrong, and requests are counted anew.
    pub fn play(&self, script: Script) {
        *self.shared.state.lock().unwrap() = State { script, ..State::default() };
    }

    /// The requests since the script began.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state.lock().unwrap().seen.clone()
    }

    /// The same, with those forgotten that were told.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.shared.state.lock().unwrap().seen)
    }

    /// How many faults there were since the script began.
    pub fn faults(&self) -> usize {
        self.shared.state.lock().unwrap().seen.iter().filter(|seen| seen.fault.is_some()).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
