//! The status for other processes of the same owner: a Unix socket that tells it, and takes no orders.
//!
//! Purpose: an operator sees what a broker's tiered storage does without the broker having to offer it.
//!
//! Protocol: connect; a line of JSON ([`Status`](super::Status)) comes at once and then each second, until the client
//! closes or the engine ends, which says so with a last line of what it ended with. What a client sends is not read. A
//! refusal is one line, `{"error":{"code":…,"message":…}}`.
//!
//! Invariant: only its owner and root are told anything: the socket has mode 0600 before anybody can connect, its
//! folder is nobody else's to write to, and each peer's user is asked of the system. Only what this engine has made is
//! removed, and a socket behind which a process lives is never taken. Nobody waits for a client: lines are built on the
//! engine's threads from copies, one at a time, and a client that does not read is left after [`SLOW`].
//!
//! Trade-off: one task for each client and at most [`CLIENTS`] of them, which share a line for [`FRESH`]. So a broker
//! with ten thousand operations in flight builds a few lines a second at most, and what they say is a quarter of a
//! second old at worst.

use crate::error::{Code, Error, Result};
use parking_lot::Mutex;
use rustix::{
    fs::{FlockOperation, flock},
    net::{self, AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType},
    process::{Pid, geteuid, test_kill_process},
};
use std::{
    fs::{self, File, Metadata, Permissions},
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::Interest,
    net::{UnixListener, UnixSocket, UnixStream},
    runtime::Handle,
    sync::Mutex as AsyncMutex,
    time::{sleep, timeout},
};

/// Most clients at once: a few people and a monitor. Each costs a descriptor and a task.
pub const CLIENTS: usize = 8;
/// Between two lines.
pub const EVERY: Duration = Duration::from_secs(1);
/// How long a client may take to read a line.
pub const SLOW: Duration = Duration::from_secs(5);
/// How old a line may be that is sent to another client.
const FRESH: Duration = Duration::from_millis(250);
/// Connections that wait to be answered: all clients, and some to be told that there are too many.
const BACKLOG: u32 = 2 * CLIENTS as u32;
/// How long another process may take to open its socket in the same folder, which takes it microseconds.
const LOCKED: Duration = Duration::from_secs(2);

/// A socket that answers until it is closed.
pub struct StatusSocket {
    path: PathBuf,
    /// Device and inode: whether what lies at `path` is still ours.
    identity: (u64, u64),
    server: Arc<Server>,
}

/// What all clients share.
struct Server {
    tell: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// Held while a line is built. Who wants one meanwhile waits as a task, since the threads are for operations.
    latest: AsyncMutex<Option<(Instant, Arc<str>)>>,
    clients: Mutex<Vec<Arc<Client>>>,
}

struct Client {
    stream: UnixStream,
    sending: Mutex<Sending>,
}

#[derive(Default)]
struct Sending {
    /// A line has been sent in part.
    within_line: bool,
    /// The last line has been sent.
    over: bool,
}

impl StatusSocket {
    /// Opens a socket at `path` that is served on the runtime of `handle`. `tell` makes a line, and returns `None` once
    /// there is nothing more to tell.
    ///
    /// # Errors
    /// `INVALID_CONFIG` where it cannot be at that place, with the reason: the folder is open to others, a process
    /// that lives answers there, something else lies there, the path is too long. `BUSY` where another process has the
    /// folder locked.
    pub fn open(
        path: &Path,
        handle: &Handle,
        tell: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Result<StatusSocket> {
        let refuse = |why: String| refused(path, &why);
        if !path.is_absolute() {
            return Err(refuse("give an absolute path".to_owned()));
        }
        let address = SocketAddrUnix::new(path).map_err(|_| {
            let len = path.as_os_str().len();
            refuse(format!("the path has {len} bytes and a Unix socket's can have 107; choose a shorter one"))
        })?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        check_folder(folder).map_err(refuse)?;
        // While it is held nobody else opens a socket here, so that two cannot both replace the same dead one.
        let _lock = lock(path, folder)?;
        let _runtime = handle.enter();
        make_room(path, &address).map_err(refuse)?;
        let failed = |e: io::Error| refused(path, &format!("it cannot be opened: {e}"));
        let socket = UnixSocket::new_stream().map_err(failed)?;
        socket.bind(path).map_err(failed)?;
        let opened = restrict(path).and_then(|identity| Ok((identity, socket.listen(BACKLOG)?)));
        let (identity, listener) = opened.map_err(|e| {
            // It is ours: the folder is locked, and nothing was there.
            let _ = fs::remove_file(path);
            failed(e)
        })?;
        let server = Arc::new(Server {
            tell: Box::new(tell),
            latest: AsyncMutex::default(),
            clients: Mutex::default(),
        });
        handle.spawn(serve(server.clone(), listener));
        Ok(StatusSocket { path: path.to_owned(), identity, server })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the socket if it is still this one, and sends the clients what `last` says as their last line.
    /// Waits for nobody.
    pub fn close(self, last: impl FnOnce() -> String) {
        // Without the lock if it cannot be had: that is for who looks whether we live, and by now we do not.
        let _lock = self.path.parent().and_then(|folder| try_lock(folder).ok());
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
        let clients = std::mem::take(&mut *self.server.clients.lock());
        if !clients.is_empty() {
            let line = last() + "\n";
            clients.iter().for_each(|client| client.part(&line));
        }
    }
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(Code::InvalidConfig, format!("setting status.socket, {}: {why}", path.display()))
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Only who may write to the folder may put another socket in the place of ours.
fn check_folder(folder: &Path) -> Result<(), String> {
    let found = fs::metadata(folder).map_err(|e| format!("its folder cannot be used: {e}"))?;
    if !found.is_dir() {
        return Err("what should be its folder is a file".to_owned());
    }
    if ![0, geteuid().as_raw()].contains(&found.uid()) {
        return Err(format!("its folder belongs to user {}, who is neither this one nor root", found.uid()));
    }
    match found.mode() & 0o022 {
        0 => Ok(()),
        _ => Err(format!(
            "others may write to its folder (mode {:03o}), and so answer in its place; chmod go-w the folder, or make \
             one of its own",
            found.mode() & 0o7777
        )),
    }
}

fn try_lock(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Err(e) if e == rustix::io::Errno::WOULDBLOCK => Err(e.into()),
        // Where there are no locks, two that start in the same instant may both believe that they have the socket.
        _ => Ok(folder),
    }
}

fn lock(path: &Path, folder: &Path) -> Result<File> {
    let until = Instant::now() + LOCKED;
    loop {
        match try_lock(folder) {
            Ok(lock) => return Ok(lock),
            Err(e) if e.kind() != ErrorKind::WouldBlock => {
                return Err(refused(path, &format!("its folder cannot be read: {e}")));
            }
            Err(_) if Instant::now() >= until => {
                let message = format!(
                    "setting status.socket, {}: another process keeps the folder locked; try again, or choose another \
                     folder",
                    path.display()
                );
                return Err(Error::new(Code::Busy, message));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Removes what a dead process left at `path`. Says why not where it must stay.
fn make_room(path: &Path, address: &SocketAddrUnix) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(format!("it cannot be looked at: {e}")),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(
                "there is something else, which is no socket; remove it or choose another path".to_owned()
            );
        }
        Ok(_) => {}
    }
    match holder(address) {
        Holder::Nobody => fs::remove_file(path)
            .map_err(|e| format!("what a dead process left there cannot be removed: {e}")),
        Holder::Process(pid) if pid == std::process::id() => {
            Err("another engine of this process has it; give each engine a path of its own".to_owned())
        }
        Holder::Process(pid) => {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let name = match name.trim() {
                "" => String::new(),
                name => format!(" ({})", name.escape_debug()),
            };
            Err(format!("process {pid}{name} has it and lives; end it or choose another path"))
        }
        Holder::Unknown(why) => Err(format!("somebody has it, {why}; choose another path")),
    }
}

/// Who answers at a socket.
enum Holder {
    Nobody,
    Process(u32),
    Unknown(String),
}

fn holder(address: &SocketAddrUnix) -> Holder {
    let unknown =
        |e: rustix::io::Errno| Holder::Unknown(format!("who cannot be asked: {}", io::Error::from(e)));
    // Without waiting: a process that is stopped takes no connections.
    let socket = match client() {
        Ok(socket) => socket,
        Err(e) => return unknown(e),
    };
    match net::connect(&socket, address) {
        Ok(()) => {}
        Err(e) if e == rustix::io::Errno::CONNREFUSED || e == rustix::io::Errno::NOENT => {
            return Holder::Nobody;
        }
        Err(e) if e == rustix::io::Errno::AGAIN => {
            return Holder::Unknown("who takes no more connections (is it stopped?)".to_owned());
        }
        Err(e) => return unknown(e),
    }
    let pid =
        UnixStream::from_std(socket.into()).and_then(|stream| stream.peer_cred()).map(|peer| peer.pid());
    match pid.ok().flatten().and_then(Pid::from_raw) {
        // A child that was forked by a process which has died keeps its socket open, and never answers.
        Some(pid) if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) => Holder::Nobody,
        Some(pid) => Holder::Process(pid.as_raw_nonzero().get().unsigned_abs()),
        None => Holder::Unknown("a process that cannot be seen from here".to_owned()),
    }
}

/// A socket that waits for nothing and that no program inherits.
#[cfg(target_os = "linux")]
fn client() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

#[cfg(not(target_os = "linux"))]
fn client() -> rustix::io::Result<OwnedFd> {
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// Before anybody can connect.
fn restrict(path: &Path) -> io::Result<(u64, u64)> {
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    fs::symlink_metadata(path).map(|found| identity(&found))
}

async fn serve(server: Arc<Server>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => admit(&server, stream),
            // No descriptor is left: those who connect wait until there is one.
            Err(_) => sleep(EVERY).await,
        }
    }
}

fn admit(server: &Arc<Server>, stream: UnixStream) {
    let user = stream.peer_cred().map(|peer| peer.uid());
    let client = Arc::new(Client { stream, sending: Mutex::default() });
    if !user.is_ok_and(|user| [0, geteuid().as_raw()].contains(&user)) {
        return client
            .refuse(Code::PermissionDenied, "only the owner of this process and root are told its status");
    }
    let mut clients = server.clients.lock();
    if clients.len() == CLIENTS {
        drop(clients);
        let message = format!("{CLIENTS} others look at this status already; try again when one has gone");
        return client.refuse(Code::Busy, &message);
    }
    clients.push(client.clone());
    drop(clients);
    tokio::spawn(attend(server.clone(), client));
}

async fn attend(server: Arc<Server>, client: Arc<Client>) {
    while let Some(line) = server.line().await {
        if !matches!(timeout(SLOW, client.send(&line)).await, Ok(Ok(()))) {
            break;
        }
        drop(line);
        tokio::select! {
            () = sleep(EVERY) => {}
            () = client.gone() => break,
        }
    }
    let alone = {
        let mut clients = server.clients.lock();
        clients.retain(|other| !Arc::ptr_eq(other, &client));
        clients.is_empty()
    };
    if alone {
        *server.latest.lock().await = None;
    }
}

impl Server {
    /// What to tell now.
    async fn line(&self) -> Option<Arc<str>> {
        let mut latest = self.latest.lock().await;
        if let Some((at, line)) = &*latest
            && at.elapsed() < FRESH
        {
            return Some(line.clone());
        }
        let line: Arc<str> = ((self.tell)()? + "\n").into();
        *latest = Some((Instant::now(), line.clone()));
        Some(line)
    }
}

impl Client {
    /// Sends a line, as fast as the client reads.
    async fn send(&self, line: &str) -> io::Result<()> {
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            self.stream.writable().await?;
            let mut sending = self.sending.lock();
            if sending.over {
                return Err(ErrorKind::BrokenPipe.into());
            }
            match self.stream.try_io(Interest::WRITABLE, || put(&self.stream, rest)) {
                Ok(sent) => rest = &rest[sent..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
            sending.within_line = !rest.is_empty();
        }
        Ok(())
    }

    /// Sends a last line if it fits, now.
    fn part(&self, line: &str) {
        let mut sending = self.sending.lock();
        if !std::mem::replace(&mut sending.over, true) && !sending.within_line {
            // Who does not read hears from the end of the connection.
            let _ = put(&self.stream, line.as_bytes());
        }
    }

    fn refuse(&self, code: Code, message: &str) {
        self.part(&format!("{}\n", serde_json::json!({"error": {"code": code.name(), "message": message}})));
    }

    /// Returns once the client has closed.
    async fn gone(&self) {
        let mut unread = [0; 256];
        while self.stream.readable().await.is_ok() {
            match self.stream.try_read(&mut unread) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

/// A peer that has closed is an error, not a signal to the host.
fn put(stream: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(not(target_vendor = "apple"))]
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    #[cfg(target_vendor = "apple")]
    let flags = SendFlags::DONTWAIT;
    #[cfg(target_vendor = "apple")]
    net::sockopt::set_socket_nosigpipe(stream, true)?;
    Ok(net::send(stream.as_fd(), bytes, flags)?)
}
