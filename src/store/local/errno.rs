//! What an errno means to a host, in one table.

use crate::error::{Code, Error};
use rustix::io::Errno;
use std::{fmt::Display, path::Path};

/// The error for `errno` while the store wanted to `what` the file or folder `path`.
pub(super) fn error(errno: Errno, what: impl Display, path: &Path) -> Error {
    let (code, remedy) = meaning(errno);
    let text = std::io::Error::from(errno);
    Error::new(code, format!("cannot {what} {}: {text}{remedy}", path.display()))
}

fn meaning(errno: Errno) -> (Code, &'static str) {
    match errno {
        Errno::NOSPC => (Code::NoSpace, "; free space on this file system or move the store"),
        Errno::DQUOT => (Code::NoSpace, "; free space or raise the quota"),
        Errno::FBIG => {
            (Code::NoSpace, "; the file system or the process's limits allow no file of this size")
        }
        Errno::ACCESS | Errno::PERM => {
            (Code::PermissionDenied, "; let this user read and write the store's folder")
        }
        Errno::ROFS => (Code::PermissionDenied, "; mount it for writing or open another folder"),
        Errno::NOENT => (Code::NotFound, ""),
        Errno::NAMETOOLONG => (Code::InvalidArgument, "; this file system takes shorter names only"),
        Errno::ILSEQ => (Code::InvalidArgument, "; this file system does not take every name"),
        Errno::XDEV => {
            (Code::InvalidArgument, "; all of the store's folder must be on one file system and in one quota")
        }
        Errno::MFILE => (Code::ResourceExhausted, "; raise the limit of open files (ulimit -n)"),
        Errno::NFILE | Errno::NOMEM | Errno::NOBUFS => (Code::ResourceExhausted, ""),
        // Everything else is the disk, the network to it, or something that we do not expect: EIO, ESTALE, …
        _ => (Code::Unavailable, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_has_a_code_and_a_message_with_path_and_cause() {
        for (errno, code) in [
            (Errno::NOSPC, Code::NoSpace),
            (Errno::DQUOT, Code::NoSpace),
            (Errno::ACCESS, Code::PermissionDenied),
            (Errno::PERM, Code::PermissionDenied),
            (Errno::ROFS, Code::PermissionDenied),
            (Errno::NOENT, Code::NotFound),
            (Errno::NAMETOOLONG, Code::InvalidArgument),
            (Errno::MFILE, Code::ResourceExhausted),
            (Errno::IO, Code::Unavailable),
            (Errno::STALE, Code::Unavailable),
        ] {
            let e = error(errno, "write", Path::new("/tier/k"));
            assert_eq!(e.code(), code, "{e}");
            assert!(e.message().starts_with("cannot write /tier/k: "), "{e}");
            assert!(e.message().contains(&format!("os error {}", errno.raw_os_error())), "{e}");
        }
    }
}
