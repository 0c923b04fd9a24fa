//! Real object stores for tests: versitygw and MinIO.
//!
//! `tests/servers/serve.py` starts and ends them, for these tests and for those in Python, so that there is one
//! way to do it; this is its Rust side. A store lives as long as the pipe to its keeper, which the kernel closes
//! whatever happens to the test. One store serves all tests of a program, each with a bucket of its own; a test
//! that stops its store starts its own.

#![allow(dead_code, reason = "each test program uses a part of it")]

use seglift::{
    config::Config,
    store::{
        OpenOptions,
        s3::{self, S3Options},
    },
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// A store that runs, or that its test has stopped.
pub struct Server {
    /// Such as `http://127.0.0.1:40123`.
    pub endpoint: String,
    pub access_key: String,
    pub secret_key: String,
    /// What its certificate is signed with, where it speaks TLS.
    pub ca_file: Option<String>,
    keeper: Mutex<Keeper>,
}

struct Keeper {
    process: Child,
    /// None once it was told to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The versitygw that all tests of this program share.
pub fn versitygw() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("versitygw", false))
}

/// The MinIO that all tests of this program share. It has a KMS key, `k1`.
pub fn minio() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("minio", false))
}

impl Server {
    /// A store for one test: `versitygw` or `minio`, with TLS or without. It ends when it is dropped.
    pub fn start(kind: &str, tls: bool) -> Server {
        let mut process = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/serve.py"))
            .arg(kind)
            .args(tls.then_some("--tls"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let orders = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let facts: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{kind} did not start; serve.py says why above"));
        let text = |name: &str| facts[name].as_str().map(str::to_string);
        Server {
            endpoint: text("endpoint").unwrap(),
            access_key: text("access_key").unwrap(),
            secret_key: text("secret_key").unwrap(),
            ca_file: text("ca_file"),
            keeper: Mutex::new(Keeper { process, orders, answers }),
        }
    }

    /// Kills the store, as a power cut would; its data stay.
    pub fn stop(&self) {
        self.order(json!(["stop"]));
    }

    /// Brings it back at the same port with the same data, and waits until it answers.
    pub fn start_again(&self) {
        self.order(json!(["start"]));
    }

    /// Makes a bucket that no other test has, and gives its name.
    pub fn bucket(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let bucket = format!("bucket-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.order(json!(["make_bucket", bucket]));
        bucket
    }

    /// What a store in one of its buckets is opened with.
    pub fn options(&self) -> OpenOptions {
        let config = self.config();
        let options = S3Options::new(&config.settings().unwrap(), true);
        OpenOptions { s3: s3::Env { options, ..s3::Env::default() }, ..OpenOptions::default() }
    }

    /// The settings that reach it.
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        let settings = [
            ("endpoint", &self.endpoint),
            ("access.key", &self.access_key),
            ("secret.key", &self.secret_key),
        ];
        for (key, value) in settings.into_iter().chain(self.ca_file.iter().map(|file| ("ca.file", file))) {
            config.set(&format!("s3.{key}"), value).unwrap();
        }
        config
    }

    /// All keys of a bucket, as the store lists them to a stranger's client.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        serde_json::from_value(self.order(json!(["keys", bucket]))).unwrap()
    }

    /// The keys of the uploads that were begun in a bucket and not ended.
    pub fn uploads(&self, bucket: &str) -> Vec<String> {
        serde_json::from_value(self.order(json!(["uploads", bucket]))).unwrap()
    }

    /// Temporary credentials that allow no more than a policy: `access_key`, `secret_key`, `session_token`. MinIO only.
    pub fn assume_role(&self, policy: &str) -> Value {
        self.order(json!(["assume_role", policy]))
    }

    /// Makes a bucket keep versions.
    pub fn keep_versions(&self, bucket: &str) {
        self.order(json!(["keep_versions", bucket]));
    }

    /// Every version and delete marker in a bucket, by its key.
    pub fn versions(&self, bucket: &str) -> Vec<String> {
        serde_json::from_value(self.order(json!(["versions", bucket]))).unwrap()
    }

    /// The headers of an object, with names in lower case.
    pub fn head(&self, bucket: &str, key: &str) -> Value {
        self.order(json!(["head", bucket, key]))
    }

    fn order(&self, order: Value) -> Value {
        // A test that panicked in here has broken the order of answers for nobody: each gets one line.
        let mut keeper = self.keeper.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut line = String::new();
        writeln!(keeper.orders.as_ref().unwrap(), "{order}").expect("serve.py lives");
        keeper.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{order} failed; serve.py says why above"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        keeper.orders = None;
        _ = keeper.process.wait();
    }
}
