//! What to look at before a broker trusts a folder.
//!
//! The folder itself, then objects in it as in every store, then what only a file system has: room, whether it
//! survives a restart, and what killed processes left.

use super::{LocalStore, blocking, root::Root};
use crate::{
    error::{Code, Error, Result},
    store::{
        doctor::{Access, Finding, PROBE, Probe, Question, Report, Stop, objects::objects, until},
        key::TEMPORARY,
    },
};
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Less free space than this is said: an hour of a broker that offloads 1 MiB/s.
const LITTLE: u64 = 4 << 30;

/// A probe older than this has no examination any more.
const STALE: Duration = Duration::from_secs(3600);

/// `f_type` of file systems that are gone after a restart (Linux, `statfs(2)`): tmpfs and ramfs.
#[cfg(target_os = "linux")]
const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];

impl LocalStore {
    /// Examines the store in `folder`; see [`examine`](crate::store::doctor::examine).
    pub(in crate::store) async fn examine(
        folder: &Path,
        fsync: bool,
        question: &Question,
        stop: &mut Stop<'_>,
        report: &mut Report<'_>,
    ) -> Result<()> {
        let store = match LocalStore::open(folder, false, fsync) {
            Ok(store) => store,
            Err(error) => {
                let make = format!("mkdir -p {0} && chown BROKER {0}, as a user that may", folder.display());
                report(Finding::fail("folder", &error).remedy(make));
                for check in [
                    "read",
                    "write",
                    "conditional-create",
                    "list",
                    "delete",
                    "durability",
                    "space",
                    "leftovers",
                ] {
                    report(Finding::skipped(check, "not checked, because the folder cannot be used"));
                }
                return Ok(());
            }
        };
        report(Finding::ok("folder", store.root.path().display().to_string()));
        let probe = Probe::new(&store);
        let ended = until(stop, &probe, async {
            objects(&probe, question, report).await;
            if question.access > Access::Read {
                report(durability(&store.root, fsync));
                report(space(&store.root));
            }
            let root = store.root.clone();
            report(match blocking(move || leftovers(&root)).await {
                Ok(finding) => finding,
                Err(error) => Finding::skipped("leftovers", error.message()),
            });
        })
        .await;
        probe.clean(report).await;
        ended
    }
}

fn durability(root: &Root, fsync: bool) -> Finding {
    #[cfg(target_os = "linux")]
    if rustix::fs::fstatfs(root.last(&[])).is_ok_and(|fs| IN_MEMORY.contains(&(fs.f_type as u32))) {
        return Finding::warn(
            "durability",
            "the folder lies in memory: everything in it is gone after a restart",
            "use a folder on a disk",
        );
    }
    let _ = root;
    match fsync {
        true => Finding::ok("durability", "every commit waits for the disk"),
        false => Finding::warn(
            "durability",
            "file.fsync is off: a power cut may lose segments that had a receipt",
            "set file.fsync=true, unless the data may be lost",
        ),
    }
}

fn space(root: &Root) -> Finding {
    let room = match rustix::fs::fstatvfs(root.last(&[])) {
        Ok(room) => room,
        Err(errno) => {
            let why = std::io::Error::from(errno);
            return Finding::skipped("space", format!("the file system does not say: {why}"));
        }
    };
    let bytes = room.f_bavail.saturating_mul(room.f_frsize);
    let detail = format!("{} GiB free, room for {} files", bytes >> 30, room.f_favail);
    // Some file systems have no fixed number of files and say 0 of 0.
    let no_files = room.f_files > 0 && room.f_favail == 0;
    match bytes {
        0 => {
            let full = Error::new(Code::NoSpace, "the file system is full");
            Finding::fail("space", &full).remedy("free space on it or move the store")
        }
        _ if no_files => {
            let full = Error::new(Code::NoSpace, "the file system takes no more files");
            Finding::fail("space", &full).remedy("remove files, or make a file system with more inodes")
        }
        1..LITTLE => Finding::warn("space", detail, "a full store refuses offloads; make room in time"),
        _ => Finding::ok("space", detail),
    }
}

/// Files of uploads whose process is gone: the kernel has released their locks. Blocks.
fn leftovers(root: &Arc<Root>) -> Result<Finding> {
    let failed = |errno| root_error(root, errno);
    let mut dead: Vec<String> = Vec::new();
    for entry in Dir::read_from(root.last(&[])).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let is_dead = if name.starts_with(TEMPORARY) {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(root.last(&[]), name, flags, Mode::empty())
                .is_ok_and(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
        } else {
            name.starts_with(PROBE) && older(root, name, STALE)
        };
        if is_dead {
            dead.push(name.to_owned());
        }
    }
    let Some(first) = dead.iter().min() else {
        return Ok(Finding::ok("leftovers", "no unfinished upload of a process that is gone"));
    };
    let detail = format!("{} unfinished uploads of processes that are gone, such as {first}", dead.len());
    let remedy = format!(
        "they are no objects; remove them: seglift reap {} --older-than 1h (and --all-owners, if other hosts left some)",
        crate::store::open::file_uri(root.path())
    );
    Ok(Finding::warn("leftovers", detail, remedy))
}

/// Whether a file was last changed longer ago than `age`.
fn older(root: &Root, name: &str, age: Duration) -> bool {
    rustix::fs::statat(root.last(&[]), name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        let changed = UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
        SystemTime::now().duration_since(changed).is_ok_and(|since| since > age)
    })
}

fn root_error(root: &Root, errno: rustix::io::Errno) -> Error {
    super::errno::error(errno, "list", root.path())
}
