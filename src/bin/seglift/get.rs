//! `seglift get`: segments into files.
//!
//! A file appears under its name when it is whole and its digest was checked, or not at all. Until
//! then it is a temporary file beside it, which goes when the command is interrupted.

use crate::{
    address::{self, Names},
    app::{App, count, digest, joined, located},
    args,
    failure::{Failure, local},
    restore::Restore,
};
use seglift::{
    Code, Error, Result, codec::checksum::Crc64Nvme, driver::Driver, object::Mode, reader::RecordView,
};
use serde_json::json;
use std::{
    fs::{self, Permissions},
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::{Builder, NamedTempFile};

/// Restores what the addresses name; prints the files that were written.
pub fn run(app: &mut App, args: &args::Get) -> Result<(), Failure> {
    let names = if args.recursive { Names::Prefix } else { Names::Key };
    let addresses = address::parse(&args.addresses, names)?;
    let into_directory = args.recursive || addresses.len() > 1;
    let _hold = app.interrupt.hold();
    let mut written = 0;
    let named = app.batches(&addresses, args.recursive, |app, driver, batch| {
        for address in batch {
            let target = target(args, &address.key, into_directory);
            match get(app, driver, &address.key, &target, args.force) {
                Ok(restored) => {
                    written += 1;
                    let shown = target.display().to_string();
                    let about = || {
                        json!({"file": shown, "segment_bytes": restored.segment_bytes, "crc64nvme": digest(restored.crc64nvme)})
                    };
                    app.out.result(|| joined(located(address), about()), || shown.clone())?;
                }
                Err(Failure::Error(error)) => app.failed(located(address), &error)?,
                Err(pipe) => return Err(pipe),
            }
        }
        Ok(())
    })?;
    if named > 1 {
        app.talk.note(format_args!("restored {written} of {}", count(named as u64, "segment")));
    }
    Ok(())
}

/// Where a segment goes: with its path into a directory if whole folders are restored, else under
/// its name.
fn target(args: &args::Get, key: &str, into_directory: bool) -> PathBuf {
    let name = if args.recursive { key } else { key.rsplit('/').next().unwrap_or(key) };
    match &args.output {
        None => PathBuf::from(name),
        Some(path) if into_directory || path.is_dir() || ends_in_slash(path) => path.join(name),
        Some(path) => path.clone(),
    }
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

struct Restored {
    segment_bytes: u64,
    crc64nvme: u64,
}

fn get(app: &App, driver: &Driver, key: &str, target: &Path, force: bool) -> Result<Restored, Failure> {
    // Before a byte is fetched; whether it is still so is decided again when the file gets its name.
    if !force && target.symlink_metadata().is_ok() {
        return Err(exists(key, target).into());
    }
    let restore = Restore::open(app, driver, key)?;
    let failed = |error: std::io::Error| local(format_args!("writing {}", target.display()), &error);
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).map_err(failed)?;
    // The mode of any new file, where tempfile's own is private.
    let file = Builder::new()
        .prefix(".seglift-get-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .map_err(failed)?;
    let crc64nvme = match restore.stat.mode() {
        Mode::Bytes => fetch_bytes(app, &restore, &file, failed)?,
        Mode::Records => fetch_records(app, &restore, &file, failed)?,
    };
    if crc64nvme != restore.stat.crc64nvme() {
        let message = format!(
            "{key}: what was read does not match the digest of the whole segment; no file was written"
        );
        return Err(Error::new(Code::Corrupt, message).into());
    }
    file.as_file().sync_all().map_err(failed)?;
    let named = if force { file.persist(target) } else { file.persist_noclobber(target) };
    named.map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(key, target),
        _ => failed(error.error),
    })?;
    Ok(Restored { segment_bytes: restore.stat.segment_bytes(), crc64nvme })
}

fn exists(key: &str, target: &Path) -> Error {
    let message = format!("{key} was not restored, because {} exists; --force replaces it", target.display());
    Error::new(Code::AlreadyExists, message)
}

/// Writes the segment as it is; returns its CRC-64/NVME.
fn fetch_bytes(
    app: &App,
    restore: &Restore,
    file: &NamedTempFile,
    failed: impl Fn(std::io::Error) -> Error,
) -> Result<u64, Failure> {
    let total = restore.stat.segment_bytes();
    let mut progress = app.talk.progress(restore.stat.key());
    let (mut done, mut crc) = (0, Crc64Nvme::new());
    restore.bytes(0..total, |bytes| {
        crc.update(bytes);
        done += bytes.len() as u64;
        progress.update(done, total);
        Ok(file.as_file().write_all(bytes).map_err(&failed)?)
    })?;
    Ok(crc.finalize())
}

/// Writes a record a line, as `offload --records` reads them; returns the CRC-64/NVME of the records
/// with their ids and times, in the canonical form of docs/format.md.
fn fetch_records(
    app: &App,
    restore: &Restore,
    file: &NamedTempFile,
    failed: impl Fn(std::io::Error) -> Error,
) -> Result<u64, Failure> {
    let mut progress = app.talk.progress(restore.stat.key());
    let (mut done, mut crc) = (0, Crc64Nvme::new());
    let mut lines = BufWriter::with_capacity(256 * 1024, file.as_file());
    restore.records(0, u64::MAX, |RecordView { id, time_us, payload }| {
        crc.update(&id.to_le_bytes());
        crc.update(&time_us.to_le_bytes());
        crc.update(&(payload.len() as u32).to_le_bytes());
        crc.update(payload);
        done += payload.len() as u64;
        progress.update(done, restore.stat.segment_bytes());
        Ok(lines.write_all(payload).and_then(|()| lines.write_all(b"\n")).map_err(&failed)?)
    })?;
    lines.flush().map_err(&failed)?;
    Ok(crc.finalize())
}
