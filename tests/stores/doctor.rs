//! `seglift doctor` on real servers: what is green and red, and that each policy which it prints is enough and no more.

use crate::servers::{Server, minio, versitygw};
use serde_json::Value;
use std::{
    fs,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// The command line as one user of a server runs it.
struct User<'a> {
    server: &'a Server,
    bucket: String,
    environment: Vec<(&'static str, String)>,
    dir: TempDir,
}

/// What a run gave.
#[derive(Debug)]
struct Run {
    status: i32,
    out: String,
    err: String,
}

impl Server {
    /// The server's root, with a bucket of its own.
    fn root(&self) -> User<'_> {
        let keys = vec![
            ("AWS_ACCESS_KEY_ID", self.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key.clone()),
        ];
        User { server: self, bucket: self.bucket(), environment: keys, dir: tempfile::tempdir().unwrap() }
    }
}

impl User<'_> {
    /// A user who may do what the policy for `access` of `seglift doctor --policy` says, in the same bucket.
    fn limited_to(&self, access: &str) -> User<'_> {
        let policy = self.run(&["doctor", "--policy", access, &self.uri()]).ends(0).out;
        let keys = self.server.assume_role(&policy);
        let text = |name: &str| keys[name].as_str().unwrap().to_owned();
        let environment = vec![
            ("AWS_ACCESS_KEY_ID", text("access_key")),
            ("AWS_SECRET_ACCESS_KEY", text("secret_key")),
            ("AWS_SESSION_TOKEN", text("session_token")),
        ];
        User { bucket: self.bucket.clone(), environment, dir: tempfile::tempdir().unwrap(), ..*self }
    }

    /// The store below a prefix of the bucket.
    fn uri(&self) -> String {
        format!("s3://{}/a/prefix", self.bucket)
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seglift"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("SEGLIFT_") || name.starts_with("AWS_")) {
                command.env_remove(name);
            }
        }
        command.args(arguments).envs(self.environment.clone()).current_dir(self.dir.path());
        command.env("AWS_ENDPOINT_URL", &self.server.endpoint).stdin(Stdio::null());
        if let Some(file) = &self.server.ca_file {
            command.env("AWS_CA_BUNDLE", file);
        }
        let output = command.output().unwrap();
        Run {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn doctor(&self, more: &[&str]) -> Run {
        self.run(&[&["doctor", "--json", &self.uri()], more].concat())
    }

    /// That an examination has left nothing.
    #[track_caller]
    fn has_left(&self, keys: &[&str]) {
        assert_eq!(self.server.keys(&self.bucket), keys);
        assert_eq!(self.server.uploads(&self.bucket), [""; 0]);
    }
}

impl Run {
    #[track_caller]
    fn ends(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.out, self.err);
        self
    }

    fn findings(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The checks that ended so.
    fn with_state(&self, state: &str) -> Vec<String> {
        let findings = self.findings();
        let found = findings.iter().filter(|finding| finding["state"] == state);
        found.map(|finding| finding["check"].as_str().unwrap().to_owned()).collect()
    }

    /// That this check and no other failed.
    #[track_caller]
    fn fails_only(&self, check: &str) -> &Self {
        assert_eq!(self.with_state("fail"), [check], "{}", self.out);
        self
    }

    #[track_caller]
    fn detail(&self, check: &str) -> String {
        let findings = self.findings();
        let found = findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("no {check}: {}", self.out))["detail"].as_str().unwrap().to_owned()
    }
}

#[test]
fn healthy_stores_are_healthy_and_nothing_stays() {
    for server in [versitygw(), minio()] {
        let root = server.root();
        for access in ["read", "write", "admin"] {
            let run = root.doctor(&["--for", access]).ends(0);
            assert_eq!(run.with_state("fail"), [""; 0], "{}", run.out);
            root.has_left(&[]);
        }
        let run = root.doctor(&["--for", "admin"]).ends(0);
        assert!(run.detail("multipart").ends_with("it and its part are listed"), "{}", run.out);
        assert!(run.detail("trailers").contains("behind the payload"), "{}", run.out);
        assert!(run.detail("checksums").contains("refused"), "{}", run.out);
    }
}

#[test]
fn the_policy_for_reading_is_enough_to_read_and_no_more() {
    let root = minio().root();
    fs::write(root.dir.path().join("log"), "0123456789").unwrap();
    root.run(&["offload", "log", "--to", &root.uri(), "--key", "t/k"]).ends(0);
    let reader = root.limited_to("read");
    let run = reader.doctor(&["--for", "read", "--key", "t/k"]).ends(0);
    assert_eq!(run.with_state("fail"), [""; 0], "{}", run.out);
    assert!(run.with_state("ok").contains(&"read".into()), "{}", run.out);
    assert_eq!(reader.run(&["cat", &reader.uri(), "t/k", "--range", "2-4"]).ends(0).out, "234");
    reader.doctor(&[]).ends(8).fails_only("write");
    fs::write(reader.dir.path().join("log"), "x").unwrap();
    reader.run(&["offload", "log", "--to", &reader.uri(), "--key", "mine"]).ends(8);
    reader.run(&["ls", &reader.uri(), ""]).ends(8);
    reader.run(&["rm", &reader.uri(), "t/k"]).ends(8);
    root.has_left(&["a/prefix/t/k"]);
}

#[test]
fn the_policy_for_writing_is_enough_to_offload_and_not_to_list_or_delete() {
    let root = minio().root();
    let writer = root.limited_to("write");
    let run = writer.doctor(&["--for", "write"]).ends(0);
    assert_eq!(run.with_state("fail"), [""; 0], "{}", run.out);
    assert_eq!(run.with_state("warn"), [""; 0], "{}", run.out);
    root.has_left(&[]);
    // One in a request, one in parts.
    let large: Vec<u8> = (0..11 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(writer.dir.path().join("large"), &large).unwrap();
    fs::write(writer.dir.path().join("small"), "0123456789").unwrap();
    let parts = ["--codec", "none", "--set", "upload.part.size=5MiB"];
    for name in ["large", "small"] {
        writer.run(&[&["offload", name, "--to", &writer.uri(), "--key", name], &parts[..]].concat()).ends(0);
        writer.run(&["verify", &writer.uri(), name]).ends(0);
    }
    writer.run(&["ls", &writer.uri(), ""]).ends(8);
    writer.run(&["rm", &writer.uri(), "small"]).ends(8);
    let run = writer.doctor(&["--for", "admin"]).ends(8);
    assert!(run.with_state("fail").contains(&"list".into()), "{}", run.out);
    root.has_left(&["a/prefix/large", "a/prefix/small"]);
}

#[test]
fn the_policy_for_an_admin_is_enough_to_list_and_delete_below_the_prefix() {
    let root = minio().root();
    let admin = root.limited_to("admin");
    let run = admin.doctor(&["--for", "admin"]).ends(0);
    assert_eq!(run.with_state("fail"), [""; 0], "{}", run.out);
    fs::write(admin.dir.path().join("log"), "0123456789").unwrap();
    admin.run(&["offload", "log", "--to", &admin.uri(), "--key", "t/k"]).ends(0);
    assert_eq!(admin.run(&["ls", &admin.uri(), ""]).ends(0).out, "t/k\n");
    admin.run(&["rm", &admin.uri(), "t/k"]).ends(0);
    root.has_left(&[]);
    let elsewhere = format!("s3://{}/other", root.bucket);
    admin.run(&["ls", &elsewhere, ""]).ends(8);
    admin.run(&["offload", "log", "--to", &elsewhere, "--key", "k"]).ends(8);
}

#[test]
fn credentials_that_the_store_does_not_know_are_the_one_red_line() {
    for server in [versitygw(), minio()] {
        let mut root = server.root();
        root.environment[1].1 = "not-the-secret".into();
        let run = root.doctor(&[]).ends(8);
        assert!(
            run.fails_only("credentials").detail("credentials").contains("the environment"),
            "{}",
            run.out
        );
        assert!(!run.out.contains("not-the-secret"), "{}", run.out);
        root.environment[0].1 = "nobody".into();
        root.doctor(&[]).ends(8).fails_only("credentials");
    }
}

#[test]
fn a_missing_bucket_and_a_port_where_nobody_listens_are_told_apart() {
    for server in [versitygw(), minio()] {
        let root = server.root();
        let run = root.run(&["doctor", "--json", "s3://no-such-bucket"]).ends(2);
        assert!(run.fails_only("bucket").detail("bucket").contains("no-such-bucket"), "{}", run.out);
        let nobody = format!("{}?endpoint=http://127.0.0.1:1", root.uri());
        let run = root.run(&["doctor", "--json", &nobody]).ends(7);
        assert!(run.fails_only("endpoint").detail("endpoint").contains("nothing listens"), "{}", run.out);
    }
}

#[test]
fn encryption_that_a_store_ignores_is_red_and_leaves_nothing() {
    let root = versitygw().root();
    root.doctor(&["--set", "s3.sse=s3"]).ends(2).fails_only("encryption");
    root.has_left(&[]);
}

#[test]
fn encryption_that_a_store_does_is_shown_and_works_in_parts() {
    let root = minio().root();
    for (settings, shown) in [
        (&["--set", "s3.sse=s3"][..], "AES256"),
        (&["--set", "s3.sse=kms", "--set", "s3.sse.kms.key=k1"], "aws:kms with the key"),
    ] {
        let run = root.doctor(settings).ends(0);
        assert!(run.detail("encryption").contains(shown), "{}", run.out);
        assert!(run.with_state("ok").contains(&"multipart".into()), "{}", run.out);
        root.has_left(&[]);
    }
    fs::write(root.dir.path().join("log"), vec![7; 11 << 20]).unwrap();
    let parts = ["--codec", "none", "--set", "upload.part.size=5MiB", "--set", "s3.sse=s3"];
    root.run(&[&["offload", "log", "--to", &root.uri(), "--key", "k"], &parts[..]].concat()).ends(0);
    let head = root.server.head(&root.bucket, "a/prefix/k");
    assert_eq!(head["x-amz-server-side-encryption"], "AES256", "{head}");
}

#[test]
fn tls_is_told_with_its_version_and_a_certificate_that_nobody_trusts_is_named() {
    let server = Server::start("minio", true);
    let root = server.root();
    let run = root.doctor(&[]).ends(0);
    assert!(run.detail("tls").starts_with("TLS 1.3"), "{}", run.out);
    let stranger = root.doctor(&["--set", "s3.ca.file="]).ends(7);
    assert!(stranger.fails_only("tls").detail("tls").contains("this machine trusts"), "{}", stranger.out);
    let plain = format!("{}?endpoint={}", root.uri(), server.endpoint.replace("https", "http"));
    root.run(&["doctor", "--json", &plain]).ends(7).fails_only("endpoint");
}

#[test]
fn in_a_bucket_that_keeps_versions_no_version_of_a_probe_stays() {
    let root = minio().root();
    root.server.keep_versions(&root.bucket);
    let run = root.doctor(&["--for", "write"]).ends(0);
    assert!(run.detail("delete").contains("keeps versions"), "{}", run.out);
    assert_eq!(root.server.versions(&root.bucket), [""; 0], "{}", run.out);
}
