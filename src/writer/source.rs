//! Reading a segment from wherever the host has it, by position, again if need be.
//!
//! Invariant: a source that yields other bytes than it promised (shorter file, lent buffer taken back) is
//! an error, never a shorter segment.

use super::segment::{Attachment, AttachmentData, Source};
use crate::{
    buf::LentSource,
    error::{Code, Error, Result},
};
use bytes::Bytes;
use rustix::fs::OFlags;
#[cfg(target_os = "linux")]
use rustix::io::ReadWriteFlags;
use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

enum Kind {
    File { file: File, offset: u64, name: String },
    Bytes(Bytes),
    Lent(LentSource),
}

/// An opened source of known length.
pub(super) struct OpenSource {
    kind: Kind,
    len: u64,
}

impl OpenSource {
    /// Opens the file where there is one and learns the length. Blocks on the file system.
    pub fn open(source: Source) -> Result<OpenSource> {
        match source {
            Source::Path { path, offset, len } => {
                let name = path.display().to_string();
                let file = open(&path, &name)?;
                OpenSource::file(file, offset, len, name)
            }
            Source::File { file, offset, len } => {
                OpenSource::file(file, offset, len, "the descriptor".to_owned())
            }
            Source::Bytes(bytes) => Ok(OpenSource { len: bytes.len() as u64, kind: Kind::Bytes(bytes) }),
            Source::Lent(lent) => Ok(OpenSource { len: lent.len() as u64, kind: Kind::Lent(lent) }),
        }
    }

    fn file(file: File, offset: u64, len: Option<u64>, name: String) -> Result<OpenSource> {
        let meta = file.metadata().map_err(|e| failed(&name, "cannot be examined", &e))?;
        if !meta.is_file() {
            return Err(Error::new(
                Code::SourceFailed,
                format!("source {name} is not a regular file; push a stream through a writer instead"),
            ));
        }
        let rest = meta.len().checked_sub(offset);
        let len = match (rest, len) {
            (Some(rest), None) => rest,
            (Some(rest), Some(len)) if len <= rest => len,
            _ => {
                return Err(Error::new(
                    Code::SourceFailed,
                    format!(
                        "source {name} has {} bytes, too few for offset {offset} and length {}",
                        meta.len(),
                        len.map_or("to the end".to_owned(), |l| l.to_string())
                    ),
                ));
            }
        };
        Ok(OpenSource { kind: Kind::File { file, offset, name }, len })
    }

    /// Length of the segment in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buf` from position `at` of the segment. Blocks on the file system.
    pub fn read_at(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        match &self.kind {
            Kind::File { file, offset, name } => file.read_exact_at(buf, offset + at).map_err(|e| {
                if e.kind() == io::ErrorKind::UnexpectedEof {
                    Error::new(
                        Code::SourceFailed,
                        format!(
                            "source {name} became shorter while it was read; offload only sealed segments"
                        ),
                    )
                } else {
                    failed(name, "cannot be read", &e)
                }
            }),
            Kind::Bytes(bytes) => {
                let at = at as usize;
                buf.copy_from_slice(&bytes[at..at + buf.len()]);
                Ok(())
            }
            Kind::Lent(lent) => lent.copy_out(at as usize, buf),
        }
    }

    /// The same without waiting for a disk: false, and nothing in `buf` counts, unless all of it was in memory.
    pub fn read_resident(&self, at: u64, buf: &mut [u8]) -> bool {
        match &self.kind {
            Kind::File { file, offset, .. } => resident(file, offset + at, buf),
            // The host may have mapped a file.
            Kind::Lent(_) => false,
            Kind::Bytes(_) => self.read_at(at, buf).is_ok(),
        }
    }
}

/// Reads what the page cache has, where the system can tell (preadv2(2), `RWF_NOWAIT`: Linux, most file systems).
#[cfg(target_os = "linux")]
fn resident(file: &File, at: u64, buf: &mut [u8]) -> bool {
    let len = buf.len();
    let read = rustix::io::preadv2(file, &mut [io::IoSliceMut::new(buf)], at, ReadWriteFlags::NOWAIT);
    read.is_ok_and(|n| n == len)
}

#[cfg(not(target_os = "linux"))]
fn resident(_: &File, _: u64, _: &mut [u8]) -> bool {
    false
}

/// Opens a file to read. `NONBLOCK` means nothing for a file, and opening a FIFO would wait for a writer without it:
/// on a thread that no deadline brings back.
fn open(path: &Path, name: &str) -> Result<File> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let opened = File::options().read(true).custom_flags(flags).open(path);
    opened.map_err(|e| failed(name, "cannot be opened", &e))
}

fn failed(name: &str, what: &str, e: &io::Error) -> Error {
    Error::new(Code::SourceFailed, format!("source {name} {what}: {e}"))
}

/// Length of an attachment, before it is loaded. Blocks on the file system.
fn attachment_len(data: &AttachmentData) -> Result<u64> {
    let len = match data {
        AttachmentData::Bytes(bytes) => bytes.len() as u64,
        AttachmentData::Path(path) => {
            let name = path.display().to_string();
            let meta = std::fs::metadata(path).map_err(|e| failed(&name, "cannot be examined", &e))?;
            if !meta.is_file() {
                let what = format!("attachment {name} is not a regular file; give its bytes instead");
                return Err(Error::new(Code::SourceFailed, what));
            }
            meta.len()
        }
    };
    Ok(len)
}

/// The attachments with their lengths, before any is loaded. Blocks on the file system.
pub(super) fn measure(attachments: Vec<Attachment>) -> Result<Vec<(u64, Attachment)>> {
    attachments.into_iter().map(|a| Ok((attachment_len(&a.data)?, a))).collect()
}

/// Loads an attachment of `len` bytes. Blocks on the file system.
pub(super) fn load_attachment(data: AttachmentData, len: u64) -> Result<Bytes> {
    match data {
        AttachmentData::Bytes(bytes) => Ok(bytes),
        AttachmentData::Path(path) => read_whole(&path, len as usize),
    }
}

fn read_whole(path: &Path, len: usize) -> Result<Bytes> {
    let name = path.display().to_string();
    let file = open(path, &name)?;
    let mut out = Vec::new();
    out.try_reserve_exact(len).map_err(|_| {
        Error::new(Code::ResourceExhausted, format!("no memory for the {len} bytes of attachment {name}"))
    })?;
    out.resize(len, 0);
    file.read_exact_at(&mut out, 0).map_err(|e| failed(&name, "cannot be read", &e))?;
    Ok(out.into())
}
