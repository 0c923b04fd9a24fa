//! A descriptor that is readable while something waits: an eventfd on Linux, a pipe elsewhere.

use crate::error::{Code, Error, Result};
use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// Rings (readable) or is silent. The owner calls [`set`](Bell::set) under its own lock.
pub(super) struct Bell {
    #[cfg(target_os = "linux")]
    fd: std::os::fd::OwnedFd,
    #[cfg(not(target_os = "linux"))]
    pipe: (io::PipeReader, io::PipeWriter),
    rings: bool,
}

impl Bell {
    pub fn new() -> Result<Bell> {
        Bell::open().map_err(|e| {
            Error::new(
                Code::ResourceExhausted,
                format!("no descriptor for a completion queue ({e}); raise the limit of open files"),
            )
        })
    }

    #[cfg(target_os = "linux")]
    fn open() -> io::Result<Bell> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Bell { fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?, rings: false })
    }

    #[cfg(not(target_os = "linux"))]
    fn open() -> io::Result<Bell> {
        Ok(Bell { pipe: io::pipe()?, rings: false })
    }

    /// The descriptor to wait on. Never read from it: it is the queue's.
    #[cfg(target_os = "linux")]
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The descriptor to wait on. Never read from it: it is the queue's.
    #[cfg(not(target_os = "linux"))]
    pub fn fd(&self) -> RawFd {
        self.pipe.0.as_raw_fd()
    }

    /// Makes it ring or falls silent; a system call only when that is a change. At most one token is ever
    /// inside, so that neither direction can block or fail.
    pub fn set(&mut self, rings: bool) {
        if self.rings == rings {
            return;
        }
        self.rings = rings;
        #[cfg(target_os = "linux")]
        let _ = match rings {
            true => rustix::io::write(&self.fd, &1_u64.to_ne_bytes()),
            false => rustix::io::read(&self.fd, &mut [0_u8; 8]),
        };
        #[cfg(not(target_os = "linux"))]
        let _ = match rings {
            true => io::Write::write(&mut self.pipe.1, &[1]),
            false => io::Read::read(&mut self.pipe.0, &mut [0_u8; 1]),
        };
    }
}
