//! A folder keeps what every store promises, and what only files can break.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use seglift::{
    Code,
    store::{Commit, GetRange, ObjectStore, OpenOptions, conformance::*, open},
};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};
use tempfile::TempDir;

fn cheap() -> OpenOptions {
    OpenOptions { fsync: false, ..OpenOptions::default() }
}

fn store_in(dir: &Path) -> Arc<dyn ObjectStore> {
    open(&format!("file://{}", dir.display()), &cheap()).unwrap()
}

fn durable_place() -> Place {
    place_with(OpenOptions::default())
}

fn place_with(options: OpenOptions) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&format!("file://{}", dir.path().display()), &options).unwrap();
    Place { store, rubbish: Box::new(move || rubbish(dir.path())) }
}

/// What an operation must not leave: temporary files, and folders with nothing in them.
fn rubbish(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if fs::read_dir(&path).unwrap().next().is_none() {
                found.push(path.display().to_string());
            }
            found.extend(rubbish(&path));
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".seglift-")) {
            found.push(path.display().to_string());
        }
    }
    found
}

mod with_fsync {
    seglift::store_conformance!(super::durable_place);
}

mod without_fsync {
    seglift::store_conformance!(|| super::place_with(super::cheap()));
}

mod within_the_fault_store {
    seglift::store_conformance!(|| {
        let dir = tempfile::tempdir().unwrap();
        let store =
            seglift::store::open(&format!("fault+file://{}", dir.path().display()), &super::cheap()).unwrap();
        super::Place { store, rubbish: Box::new(move || super::rubbish(dir.path())) }
    });
}

/// A folder `tier` in a temporary folder that also holds other things.
fn tier() -> (TempDir, PathBuf, Arc<dyn ObjectStore>) {
    let dir = tempfile::tempdir().unwrap();
    let tier = dir.path().canonicalize().unwrap().join("tier");
    let store = store_in(&tier);
    (dir, tier, store)
}

#[test]
fn an_object_is_the_plain_file_under_its_key() {
    let (_dir, tier, store) = tier();
    block_on(async {
        put(&store, "t/0/k", "content").await;
        assert_eq!(fs::read(tier.join("t/0/k")).unwrap(), b"content");
        let meta = fs::metadata(tier.join("t/0/k")).unwrap();
        assert_eq!((meta.nlink(), meta.permissions().mode() & 0o111), (1, 0));
        fs::write(tier.join("t/0/copied"), "by cp").unwrap();
        assert_eq!(whole(&store, "t/0/copied").await.unwrap(), "by cp");
    });
}

#[test]
fn an_upload_in_progress_is_one_locked_file_that_names_its_owner() {
    let (_dir, tier, store) = tier();
    block_on(async {
        let upload = store.begin(&key("t/0/k"), &info()).await.unwrap();
        upload.put_part(0, 0, Blob::new("content")).await.unwrap();
        let found = rubbish(&tier);
        assert_eq!(found.len(), 1, "{found:?}");
        let owner = seglift::store::fingerprint(&info().owner);
        assert!(
            found[0].starts_with(&format!("{}/.seglift-upload-{owner:016x}-", tier.display())),
            "{found:?}"
        );
        let other = fs::File::open(&found[0]).unwrap();
        assert!(other.try_lock().is_err(), "a live upload is locked");
        upload.abort().await.unwrap();
        drop(upload);
        assert!(rubbish(&tier).is_empty());
    });
}

#[test]
fn links_that_leave_the_folder_are_not_followed() {
    let (dir, tier, store) = tier();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    symlink(dir.path().join("outside"), tier.join("folder")).unwrap();
    symlink("../outside/secret", tier.join("file")).unwrap();
    symlink("nowhere", tier.join("dangling")).unwrap();
    block_on(async {
        for name in ["folder/secret", "file", "dangling", "folder"] {
            assert_eq!(whole(&store, name).await.unwrap_err().code(), Code::NotFound, "get of {name}");
            assert_eq!(store.head(&key(name)).await.unwrap_err().code(), Code::NotFound, "head of {name}");
            store.delete(&[key(name)]).await.pop().unwrap().unwrap();
        }
        for name in ["folder/new", "folder/secret", "file", "dangling", "folder"] {
            let answer = store.put(&key(name), &info(), Blob::new("x")).await;
            assert!(
                matches!(&answer, Commit::NotDone(e) if e.code() == Code::InvalidArgument),
                "put of {name}: {answer:?}"
            );
        }
        assert_eq!(keys(&store, "", 10).await, [""; 0]);
    });
    assert_eq!(fs::read_dir(dir.path().join("outside")).unwrap().count(), 1);
    assert_eq!(fs::read(dir.path().join("outside/secret")).unwrap(), b"secret");
    assert_eq!(
        fs::read_link(tier.join("file")).unwrap(),
        Path::new("../outside/secret"),
        "not ours to delete"
    );
}

#[test]
fn what_is_no_object_is_not_listed_nor_read() {
    let (_dir, tier, store) = tier();
    let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"not\xffutf8");
    fs::create_dir(tier.join(odd)).unwrap();
    fs::write(tier.join(odd).join("k"), "x").unwrap();
    fs::create_dir(tier.join("t")).unwrap();
    fs::write(tier.join("t").join(odd), "x").unwrap();
    fs::write(tier.join("t/back\\slash"), "x").unwrap();
    fs::write(tier.join("t/new\nline"), "x").unwrap();
    fs::write(tier.join(format!("t/{}", "n".repeat(201))), "x").unwrap();
    fs::write(tier.join(".seglift-upload-0000000000000000-dead"), "x").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tier.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tier.join("socket")).unwrap();
    block_on(async {
        put(&store, "t/k", "x").await;
        assert_eq!(keys(&store, "", 1).await, ["t/k"]);
        for name in ["fifo", "socket"] {
            assert_eq!(whole(&store, name).await.unwrap_err().code(), Code::NotFound, "{name}");
        }
    });
}

#[test]
fn what_a_killed_examination_left_is_shown_to_a_reap_as_nobodys() {
    let (_dir, tier, store) = tier();
    let name = ".seglift-probe-3f2504e0-4f89-11d3-9a0c-0305e82c3301";
    fs::write(tier.join(name), "12345").unwrap();
    fs::write(tier.join(".seglift-probe-of-somebody"), "x").unwrap();
    block_on(async {
        let page = store.uploads("me", None, 10).await.unwrap();
        let found: Vec<_> = page.uploads.iter().map(|u| (u.name.as_str(), u.of_owner)).collect();
        assert_eq!(found, [(name, Some(false))]);
        assert_eq!(store.arrived(&page.uploads[0]).await.unwrap().unwrap().bytes, 5);
        assert!(store.abort_upload(&page.uploads[0]).await.unwrap());
        assert!(!tier.join(name).exists());
    });
}

#[test]
fn a_folder_that_was_removed_is_unavailable_and_not_empty() {
    let (_dir, tier, store) = tier();
    fs::remove_dir(&tier).unwrap();
    block_on(async {
        let answer = store.put(&key("t/k"), &info(), Blob::new("x")).await;
        assert!(matches!(&answer, Commit::NotDone(e) if e.code() == Code::Unavailable), "{answer:?}");
        for error in [
            whole(&store, "t/k").await.unwrap_err(),
            whole(&store, "k").await.unwrap_err(),
            store.head(&key("k")).await.unwrap_err(),
            store.list("", None, 10).await.unwrap_err(),
            store.delete(&[key("k")]).await.pop().unwrap().unwrap_err(),
        ] {
            assert_eq!(error.code(), Code::Unavailable, "{error}");
            assert!(error.message().contains("was removed while it was open"), "{error}");
        }
    });
}

#[test]
fn a_folder_that_is_removed_during_an_upload_fails_it() {
    let (_dir, tier, store) = tier();
    block_on(async {
        let upload = store.begin(&key("t/k"), &info()).await.unwrap();
        upload.put_part(0, 0, Blob::new("x")).await.unwrap();
        fs::remove_dir_all(&tier).unwrap();
        let answer = upload.commit().await;
        assert!(matches!(&answer, Commit::NotDone(e) if e.code() == Code::NotFound), "{answer:?}");
    });
}

#[test]
fn a_temporary_file_that_somebody_removed_fails_the_commit() {
    let (_dir, tier, store) = tier();
    block_on(async {
        let upload = store.begin(&key("t/k"), &info()).await.unwrap();
        upload.put_part(0, 0, Blob::new("x")).await.unwrap();
        fs::remove_file(&rubbish(&tier)[0]).unwrap();
        let answer = upload.commit().await;
        assert!(
            matches!(&answer, Commit::NotDone(e) if e.message().contains("was removed while")),
            "{answer:?}"
        );
    });
    assert!(rubbish(&tier).is_empty());
}

#[test]
fn a_file_that_shrinks_under_a_reader_is_corrupt_and_not_short() {
    let (_dir, tier, store) = tier();
    block_on(async {
        put(&store, "k", bytes(1, 2_000_000)).await;
        let body = store.get(&key("k"), GetRange::Suffix(2_000_000)).await.unwrap().body;
        fs::File::options().write(true).open(tier.join("k")).unwrap().set_len(300_000).unwrap();
        let error = body.try_collect::<Vec<Bytes>>().await.unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "{error}");
    });
}

#[test]
fn a_reader_that_stops_holds_at_most_two_pieces() {
    let (_dir, tier, store) = tier();
    block_on(async {
        put(&store, "k", bytes(1, 3_000_000)).await;
        let mut body = store.get(&key("k"), GetRange::Suffix(3_000_000)).await.unwrap().body;
        body.next().await.unwrap().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        // One piece is read ahead; whatever lies beyond it was not read, so it is seen as it is now.
        let file = fs::File::options().write(true).open(tier.join("k")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[0; 8], 2 * (256 << 10)).unwrap();
        body.next().await.unwrap().unwrap();
        assert!(body.next().await.unwrap().unwrap().starts_with(&[0; 8]));
    });
}

#[test]
fn the_folder_is_created_one_level_deep_and_only_where_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let uri = |name: &str| format!("file://{}/{name}", dir.path().display());
    let refused = |name: &str, options: &OpenOptions| {
        let error = open(&uri(name), options).err().unwrap_or_else(|| panic!("{name} was opened"));
        assert_eq!(error.code(), Code::InvalidConfig, "{error}");
        error.message().to_owned()
    };
    assert!(refused("new", &OpenOptions { create: false, ..cheap() }).contains("does not exist"));
    assert!(refused("new/deep", &OpenOptions::default()).contains("create it first"));
    open(&uri("new"), &OpenOptions::default()).unwrap();
    assert!(dir.path().join("new").is_dir());
    fs::write(dir.path().join("file"), "x").unwrap();
    assert!(refused("file", &OpenOptions::default()).contains("not a folder"));
}

#[test]
fn empty_folders_go_up_to_the_store_and_those_in_use_stay() {
    let (_dir, tier, store) = tier();
    block_on(async {
        put(&store, "a/b/c/k", "x").await;
        put(&store, "a/k", "x").await;
        store.delete(&[key("a/b/c/k")]).await.pop().unwrap().unwrap();
        assert!(!tier.join("a/b").exists() && tier.join("a").exists());
        store.delete(&[key("a/k")]).await.pop().unwrap().unwrap();
        assert!(!tier.join("a").exists() && tier.exists());
    });
}

#[test]
fn writers_and_deleters_of_one_folder_never_disturb_each_other() {
    let (_dir, tier, store) = tier();
    block_on(async {
        let tasks: Vec<_> = (0..6).map(|i| tokio::spawn(churn(store.clone(), i))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(fs::read_dir(&tier).unwrap().count(), 0);
}

/// Creates and deletes in folders that others empty at the same time.
async fn churn(store: Arc<dyn ObjectStore>, id: u32) {
    for i in 0..150 {
        let name = format!("x/{}/y/{id}-{i}", i % 2);
        put(&store, &name, "content").await;
        assert_eq!(whole(&store, &name).await.unwrap(), "content", "{name}");
        store.delete(&[key(&name)]).await.pop().unwrap().unwrap();
    }
}

// Several processes: this program starts itself with one test, which then does one job and ends.

const JOB: &str = "SEGLIFT_TEST_JOB";

fn start(job: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "another_process_does_the_job_that_it_was_given", "--nocapture"])
        .env(JOB, format!("{job} {}", dir.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The lines that a job prints after `> `, once it has ended well.
fn finish(child: Child) -> Vec<String> {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "the process ended with {}:\n{text}", output.status);
    text.lines().filter_map(|line| line.split_once("> ")).map(|(_, said)| said.to_owned()).collect()
}

#[test]
fn another_process_does_the_job_that_it_was_given() {
    let Ok(job) = std::env::var(JOB) else {
        // Run as a test of its own, it shows that a job's result and its failure both arrive.
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(finish(start("greet", dir.path())), ["at your service"]);
        assert!(!start("unheard-of", dir.path()).wait_with_output().unwrap().status.success());
        return;
    };
    let (job, dir) = job.split_once(' ').unwrap();
    let dir = Path::new(dir);
    match job {
        "greet" => println!("> at your service"),
        "churn" => block_on(churn(store_in(dir), std::process::id())),
        "race" => block_on(async {
            let (store, mut won) = (store_in(dir), 0);
            for i in 0..200 {
                match store
                    .put(&key(&format!("{}/{i}", i / 10)), &info(), Blob::new(std::process::id().to_string()))
                    .await
                {
                    Commit::Done => won += 1,
                    Commit::Exists => {}
                    other => panic!("{other:?}"),
                }
            }
            println!("> {won}");
        }),
        "upload" => block_on(async {
            let store = store_in(dir);
            let upload = store.begin(&key("t/k"), &info()).await.unwrap();
            upload.put_part(0, 0, Blob::new(bytes(1, 300_000))).await.unwrap();
            println!("> uploaded");
            std::future::pending::<()>().await;
        }),
        "without-rights" => {
            // Root may do everything; a process without capabilities is like any other user.
            let none = rustix::thread::CapabilitySet::empty();
            let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
            rustix::thread::set_capabilities(None, sets).unwrap();
            without_rights(dir);
        }
        other => panic!("no job {other}"),
    }
}

#[test]
fn several_processes_use_one_folder_at_once() {
    let (_dir, tier, _store) = tier();
    let children: Vec<_> = (0..3).map(|_| start("churn", &tier)).collect();
    children.into_iter().for_each(|child| drop(finish(child)));
    assert_eq!(fs::read_dir(&tier).unwrap().count(), 0);
}

#[test]
fn of_processes_that_race_for_a_key_exactly_one_wins() {
    let (_dir, tier, store) = tier();
    let children: Vec<_> = (0..3).map(|_| start("race", &tier)).collect();
    let won: Vec<u32> = children.into_iter().map(|child| finish(child)[0].parse().unwrap()).collect();
    assert_eq!(won.iter().sum::<u32>(), 200, "{won:?}");
    assert_eq!(block_on(keys(&store, "", 1000)).len(), 200);
    assert!(rubbish(&tier).is_empty());
}

#[test]
fn a_killed_process_leaves_a_temporary_file_without_a_lock_and_nothing_else() {
    let (_dir, tier, store) = tier();
    let mut child = start("upload", &tier);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("> uploaded")), "the upload did not begin");
    child.kill().unwrap();
    child.wait().unwrap();
    let left: Vec<_> = fs::read_dir(&tier).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(rubbish(&tier).len(), 1, "{left:?}");
    fs::File::open(&left[0]).unwrap().try_lock().expect("the lock of a dead process is free");
    block_on(async {
        assert_eq!(keys(&store, "", 10).await, [""; 0]);
        put(&store, "t/k", "again").await;
    });
}

#[test]
fn missing_rights_are_permission_denied_and_break_nothing() {
    let (_dir, tier, store) = tier();
    block_on(async {
        put(&store, "closed/k", "x").await;
        put(&store, "open/k", "x").await;
    });
    fs::create_dir(tier.join("lost+found")).unwrap();
    let mode =
        |name: &str, mode| fs::set_permissions(tier.join(name), fs::Permissions::from_mode(mode)).unwrap();
    for name in ["closed", "lost+found"] {
        mode(name, 0);
    }
    mode("", 0o555);
    finish(start("without-rights", &tier));
    mode("", 0o755);
    mode("closed", 0o755);
    assert_eq!(block_on(keys(&store, "", 10)), ["closed/k", "open/k"]);
}

/// The rest of the test above, as a user who may not write to the folder, nor read `closed`.
fn without_rights(dir: &Path) {
    let store = store_in(dir);
    block_on(async {
        let denied = |e: seglift::Error| assert_eq!(e.code(), Code::PermissionDenied, "{e}");
        match store.put(&key("open/new"), &info(), Blob::new("x")).await {
            Commit::NotDone(e) => denied(e),
            other => panic!("{other:?}"),
        }
        denied(store.begin(&key("new"), &info()).await.err().unwrap());
        denied(whole(&store, "closed/k").await.unwrap_err());
        denied(store.head(&key("closed/k")).await.unwrap_err());
        denied(store.delete(&[key("closed/k")]).await.pop().unwrap().unwrap_err());
        denied(store.list("", None, 10).await.unwrap_err());
        assert_eq!(whole(&store, "open/k").await.unwrap(), "x");
        assert_eq!(keys(&store, "open/", 10).await, ["open/k"]);
        assert_eq!(keys(&store, "lost", 10).await, [""; 0], "lost+found is the file system's");
    });
}
