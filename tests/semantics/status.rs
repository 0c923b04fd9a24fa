//! The status, and the socket that tells it to other processes.

use crate::common::{MANY_PARTS, Place, by_key, code, engine, keys, ms, noise, offload, read, until, within};
use seglift::{
    Code, Driver,
    codec::Codec,
    engine::{Call, Engine, EngineOptions},
    status::socket::StatusSocket,
};
use serde_json::Value;
use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, Read},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, mpsc},
    thread,
    time::Instant,
};
use tempfile::TempDir;

/// A folder of one's own.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("status")
    }

    fn open_at(&self, path: &Path) -> seglift::Result<Engine> {
        let status_socket = Some(path.to_owned());
        Engine::new(EngineOptions { threads: 1, status_socket, ..EngineOptions::default() })
    }

    fn open(&self) -> Engine {
        self.open_at(&self.socket()).unwrap()
    }

    #[track_caller]
    fn refused(&self, path: &Path, why: &str) {
        let Err(error) = self.open_at(path) else { panic!("it was opened") };
        assert_eq!(error.code(), Code::InvalidConfig);
        assert!(error.message().contains("status.socket") && error.message().contains(why), "{error}");
    }
}

struct Client(BufReader<UnixStream>);

impl Client {
    fn new(path: &Path) -> Client {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(ms(10_000))).unwrap();
        Client(BufReader::new(stream))
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Waits for a line that is as it should be.
    fn until(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..20 {
            let line = self.line().expect("the socket was closed");
            if is(&line) {
                return line;
            }
        }
        panic!("it did not come");
    }
}

fn status(driver: &Driver) -> Value {
    serde_json::from_str(&driver.engine().status_json()).unwrap()
}

#[test]
fn the_status_tells_what_runs_what_succeeded_and_what_failed_and_why() {
    for place in Place::each() {
        let driver = place.open("part=3:delay-400ms&get=1:THROTTLED");
        let running = driver.clone();
        let offloading = thread::spawn(move || offload(&running, "a/b", &noise(1, MANY_PARTS), Codec::None));
        let moving = || status(&driver)["running"][0]["bytes_done"].as_u64() > Some(65_536);
        until(moving, || format!("{}", status(&driver)));
        let op = status(&driver)["running"][0].clone();
        assert_eq!((op["what"].as_str(), op["queued"].as_bool()), (Some("a/b"), Some(false)));
        assert!(op["bytes_per_s_now"].as_u64() > Some(0) && op["stage"].is_string(), "{op}");
        offloading.join().unwrap().unwrap();
        code(read(&driver, &by_key("lost"), 0, 1));
        let found = status(&driver);
        assert_eq!(found["running"].as_array().map(Vec::len), Some(0));
        let success = &found["succeeded"][0];
        assert_eq!((success["kind"].as_str(), success["what"].as_str()), (Some("offload"), Some("a/b")));
        assert_eq!(success["store"].as_str(), Some(driver.uri()));
        assert!(success["bytes_done"].as_u64() >= Some(MANY_PARTS as u64), "{success}");
        let failure = &found["failed"][0];
        assert_eq!((failure["code"].as_str(), failure["what"].as_str()), (Some("THROTTLED"), Some("lost")));
        assert_eq!(failure["store"].as_str(), Some(driver.uri()));
        for part in ["message", "stage", "service_code", "request_id", "extended_request_id"] {
            assert!(failure[part].is_string(), "{part}: {failure}");
        }
        assert!(failure["http_status"].is_u64() && failure["retryable"] == true, "{failure}");
        // Reads would push out what somebody wants to know.
        read(&driver, &by_key("a/b"), 0, 1).unwrap();
        keys(&driver);
        assert_eq!(
            (status(&driver)["succeeded_total"].as_u64(), status(&driver)["failed_total"].as_u64()),
            (Some(1), Some(1))
        );
    }
}

#[test]
fn the_status_tells_whether_requests_to_a_store_are_held_back() {
    let place = Place::memory();
    let settings = [
        ("breaker.failures", "2"),
        ("breaker.time", "0s"),
        ("breaker.pause", "1m"),
        ("retry.attempts", "3"),
        ("retry.pause.first", "1ms"),
        ("store.concurrency.reads", "7"),
    ];
    let driver = place.open_on(&engine(), "get=*:UNAVAILABLE", &settings);
    let before = status(&driver)["stores"][0].clone();
    assert_eq!(
        (before["uri"].as_str(), before["breaker"]["state"].as_str()),
        (Some(driver.uri()), Some("closed"))
    );
    assert_eq!((before["reads"]["limit"].as_u64(), before["reads"]["in_use"].as_u64()), (Some(7), Some(0)));
    code(read(&driver, &by_key("k"), 0, 1));
    let store = status(&driver)["stores"][0].clone();
    assert_eq!(store["breaker"]["state"].as_str(), Some("open"), "{store}");
    assert_eq!(store["breaker"]["last"]["code"].as_str(), Some("UNAVAILABLE"));
    assert!(
        store["breaker"]["next_try_s"].as_f64() > Some(10.0) && store["breaker"]["failing_s"].is_number()
    );
    assert!(store["retries_last_minute"].as_u64() >= Some(1), "{store}");
    let (engine, uri) = (driver.engine().clone(), driver.uri().to_owned());
    drop(driver);
    assert_eq!(engine.status().stores.len(), 0, "nobody has {uri} open");
}

#[test]
fn the_status_socket_tells_its_owner_and_root_and_nobody_else() {
    let folder = Folder::new();
    let (engine, path) = (folder.open(), folder.socket());
    let place = Place::memory();
    let driver = place.open_on(&engine, "", &[]);
    offload(&driver, "k", &noise(1, 9), Codec::None).unwrap();
    assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let mut client = Client::new(&path);
    let first = client.line().unwrap();
    assert_eq!(first["pid"].as_u64(), Some(u64::from(std::process::id())));
    assert_eq!(first["succeeded"][0]["what"].as_str(), Some("k"));
    // One who gets past the mode is asked who he is. Only root can try.
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(folder.0.path(), Permissions::from_mode(0o755)).unwrap();
        let as_nobody = || {
            let ask = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.makefile().read())";
            let said = Command::new("python3")
                .args(["-c", ask, path.to_str().unwrap()])
                .uid(65_534)
                .gid(65_534)
                .output();
            let said = said.unwrap();
            String::from_utf8(said.stdout).unwrap() + &String::from_utf8(said.stderr).unwrap()
        };
        assert!(as_nobody().contains("PermissionError"), "{}", as_nobody());
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let said: Value = serde_json::from_str(&as_nobody()).unwrap();
        assert_eq!(said["error"]["code"].as_str(), Some("PERMISSION_DENIED"));
        assert!(!said.to_string().contains("pid"));
    }
    assert!(client.line().is_some(), "the owner is told the next line");
}

#[test]
fn a_status_socket_is_not_made_where_others_could_put_their_own() {
    let folder = Folder::new();
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(folder.0.path(), Permissions::from_mode(mode)).unwrap();
        folder.refused(&folder.socket(), "others may write to its folder");
    }
    fs::set_permissions(folder.0.path(), Permissions::from_mode(0o700)).unwrap();
    folder.refused(Path::new("status"), "absolute");
    folder.refused(&folder.0.path().join("none/status"), "folder cannot be used");
    folder.refused(&folder.0.path().join("x".repeat(108)), "can have 107");
    fs::write(folder.socket(), "a file of somebody's").unwrap();
    folder.refused(&folder.socket(), "no socket");
    assert_eq!(fs::read(folder.socket()).unwrap(), b"a file of somebody's");
    folder.refused(&folder.socket().join("below"), "is a file");
}

#[test]
fn a_status_socket_of_a_process_that_lives_is_not_taken_and_that_of_a_dead_one_is_replaced() {
    let folder = Folder::new();
    let path = folder.socket();
    // Left by a process that was killed.
    drop(UnixListener::bind(&path).unwrap());
    let engine = folder.open();
    folder.refused(&path, "another engine of this process");
    let second = folder.0.path().join("second");
    drop(folder.open_at(&second).unwrap());
    assert!(!second.exists(), "an engine removes its own");
    assert!(Client::new(&path).line().is_some(), "the first answers still");
    // What is not ours any more stays.
    fs::remove_file(&path).unwrap();
    let others = UnixListener::bind(&path).unwrap();
    drop(engine);
    assert!(path.exists());
    drop(others);
    fs::remove_file(&path).unwrap();

    let listen = "import os,socket,sys; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(4); print('up',flush=True)
if len(sys.argv) < 3 or os.fork() == 0: sys.stdin.read()";
    let host = |more: &[&str]| {
        let mut host = Command::new("python3")
            .args(["-c", listen, path.to_str().unwrap()])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut up = [0; 3];
        host.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
        host
    };
    let mut living = host(&[]);
    folder.refused(&path, &format!("process {} (python3", living.id()));
    drop(living.stdin.take());
    living.wait().unwrap();
    drop(folder.open());
    // A child that a dead process has forked keeps the socket open, and never answers.
    let mut dead = host(&["fork"]);
    let held = dead.stdin.take();
    dead.wait().unwrap();
    UnixStream::connect(&path).unwrap();
    let engine = folder.open();
    assert_eq!(Client::new(&path).line().unwrap()["pid"].as_u64(), Some(u64::from(std::process::id())));
    drop((engine, held));
}

#[test]
fn who_does_not_read_the_status_slows_no_operation() {
    let folder = Folder::new();
    let engine = folder.open();
    let driver = Place::memory().open_on(&engine, "", &[]);
    // Lines of which a socket holds one at most.
    let long = vec!["x".repeat(100); 8].join("/");
    for n in 0..128 {
        assert_eq!(code(read(&driver, &by_key(&format!("{n}/{long}")), 0, 1)), Code::NotFound);
    }
    assert!(engine.status_json().len() > 150_000);
    let stuck: Vec<UnixStream> = (0..8).map(|_| UnixStream::connect(folder.socket()).unwrap()).collect();
    until(
        || Client::new(&folder.socket()).line().is_some_and(|line| line["error"]["code"] == "BUSY"),
        || "a ninth client is told that there are too many".to_owned(),
    );
    let begun = Instant::now();
    for n in 0..50 {
        let segment = crate::common::segment(&format!("k{n}"), &noise(n, 100_000), Codec::Zstd);
        driver.offload(segment, &within(5_000)).unwrap();
    }
    assert!(begun.elapsed() < ms(5_000), "{:?}", begun.elapsed());
    // They are left, and their places given to others.
    until(
        || Client::new(&folder.socket()).line().is_some_and(|line| line["pid"].is_number()),
        || "the places stay taken".to_owned(),
    );
    drop(stuck);
}

#[test]
fn clients_that_wait_for_a_line_hold_no_thread() {
    let folder = Folder::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (began, begun) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let tell = move || {
        began.send(()).unwrap();
        released.lock().unwrap().recv().ok().map(|()| "{}".to_owned())
    };
    let socket = StatusSocket::open(&folder.socket(), runtime.handle(), tell).unwrap();
    let mut clients: Vec<Client> = (0..4).map(|_| Client::new(&folder.socket())).collect();
    begun.recv_timeout(ms(10_000)).unwrap();
    // Until all are admitted, and one of them builds.
    thread::sleep(ms(200));
    let (ran, running) = mpsc::channel();
    runtime.spawn(async move { ran.send(()).unwrap() });
    let free = running.recv_timeout(ms(5_000));
    release.send(()).unwrap();
    assert!(free.is_ok(), "the other thread waits for the line, too");
    clients.iter_mut().for_each(|client| assert!(client.line().is_some()));
    drop(release);
    socket.close(String::new);
}

#[test]
fn a_forked_child_neither_answers_for_its_parent_nor_removes_its_socket() {
    let folder = Folder::new();
    let engine = folder.open();
    let mut client = Client::new(&folder.socket());
    client.line().unwrap();
    // SAFETY: the child drops a handle, which glibc's allocator allows after a fork, and leaves by `_exit`.
    let child = unsafe {
        match libc::fork() {
            0 => {
                libc::alarm(10);
                let forked = engine.check_fork().is_err_and(|e| e.code() == Code::Forked);
                drop(engine);
                libc::_exit(if forked { 0 } else { 1 })
            }
            child => child,
        }
    };
    let mut ended = 0;
    // SAFETY: `ended` is a place for one number.
    assert_eq!(unsafe { libc::waitpid(child, &mut ended, 0) }, child);
    assert_eq!(ended, 0);
    for _ in 0..3 {
        assert_eq!(client.line().unwrap()["pid"].as_u64(), Some(u64::from(std::process::id())));
        Client::new(&folder.socket()).line().unwrap();
    }
    drop(engine);
}

#[test]
fn the_status_socket_is_removed_with_its_engine_and_its_last_line_says_how_all_ended() {
    let folder = Folder::new();
    let engine = folder.open();
    let mut client = Client::new(&folder.socket());
    let driver = Place::memory().open_on(&engine, "put=1:delay-1500ms", &[]);
    drop(engine);
    let offloading = thread::spawn(move || {
        let done = driver.offload(crate::common::segment("k", &noise(1, 99), Codec::None), &Call::default());
        done.unwrap();
    });
    let line = client.until(|line| line["running"][0]["what"] == "k");
    assert_eq!(line["succeeded_total"].as_u64(), Some(0));
    offloading.join().unwrap();
    let line = client.until(|line| line["running"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(line["succeeded"][0]["what"].as_str(), Some("k"));
    let mut rest = String::new();
    client.0.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "the engine has ended");
    assert!(!folder.socket().exists());
}
