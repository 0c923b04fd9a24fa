//! An HTTP server that answers what it is told, lies included, and remembers what it was asked.

use seglift::store::{ObjectStore, OpenOptions, open};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use super::inprocess;

/// How long nothing may move in the stores of these tests.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    head: String,
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let of = |line: &str| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        self.head
            .lines()
            .find(|line| of(line))
            .and_then(|line| line.split_once(':'))
            .map_or("", |(_, v)| v.trim())
    }
}

/// What comes after the bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    NextRequest,
    Close,
    Reset,
    Stall,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
    /// How many bytes of the body are sent.
    cut: usize,
    then: Then,
}

impl Answer {
    pub fn new(status: u16) -> Answer {
        let (headers, body) = (Vec::new(), Vec::new());
        Answer { status, headers, body, chunked: false, cut: usize::MAX, then: Then::NextRequest }
    }

    /// As S3 words an error.
    pub fn error(status: u16, code: &str, message: &str) -> Answer {
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
             <RequestId>R1</RequestId><HostId>X1</HostId></Error>"
        );
        Answer::new(status).header("x-amz-request-id", "R1").header("x-amz-id-2", "X1").body(xml)
    }

    /// A part of an object.
    pub fn part(first: u64, object_len: u64, bytes: &[u8]) -> Answer {
        let last = first + bytes.len() as u64 - 1;
        Answer::new(206).header("Content-Range", &format!("bytes {first}-{last}/{object_len}")).body(bytes)
    }

    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Answer {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Without a length in front.
    pub fn chunked(mut self) -> Answer {
        self.chunked = true;
        self
    }

    /// Sends so many bytes of the body, then closes.
    pub fn closes_after(self, cut: usize) -> Answer {
        Answer { cut, then: Then::Close, ..self }
    }

    /// Sends so many bytes of the body, then resets the connection.
    pub fn resets_after(self, cut: usize) -> Answer {
        Answer { cut, then: Then::Reset, ..self }
    }

    /// Sends so many bytes of the body, then nothing more.
    pub fn stalls_after(self, cut: usize) -> Answer {
        Answer { cut, then: Then::Stall, ..self }
    }

    /// Never answers.
    pub fn silence() -> Answer {
        Answer { status: 0, then: Then::Stall, ..Answer::new(0) }
    }

    fn bytes(&self, method: &str) -> Vec<u8> {
        if self.status == 0 {
            return Vec::new();
        }
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        let told = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if self.chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
        } else if !told && self.status != 204 {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes = (head + "\r\n").into_bytes();
        if method == "HEAD" {
            return bytes;
        }
        let sent = &self.body[..self.cut.min(self.body.len())];
        if self.chunked {
            bytes.extend_from_slice(format!("{:x}\r\n", sent.len()).as_bytes());
            bytes.extend_from_slice(sent);
            bytes.extend_from_slice(b"\r\n0\r\n\r\n");
        } else {
            bytes.extend_from_slice(sent);
        }
        bytes
    }
}

type Script = dyn Fn(usize, &Request) -> Answer + Send + Sync;

/// A running server; stops when dropped.
pub struct Scripted {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    runtime: Option<Runtime>,
}

impl Scripted {
    /// Starts a server that answers request `n` (from 0) with what `script` says.
    pub fn start(script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Scripted {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (script, log): (Arc<Script>, _) = (Arc::new(script), seen.clone());
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(talk(socket, script.clone(), log.clone()));
            }
        });
        Scripted { address, seen, runtime: Some(runtime) }
    }

    /// Answers everything alike.
    pub fn always(answer: Answer) -> Scripted {
        Scripted::start(move |_, _| answer.clone())
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Where it listens, without a scheme.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// How to open stores of this server.
    pub fn options(&self) -> OpenOptions {
        let mut options =
            inprocess::options(&format!("http://{}", self.address), "AKIASCRIPTED", "scripted-secret");
        options.s3.options.attempt_timeout = PATIENCE;
        options
    }

    /// The store `s3://bucket/tier` there.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        open("s3://bucket/tier", &self.options()).unwrap()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn talk(mut socket: TcpStream, script: Arc<Script>, seen: Arc<Mutex<Vec<Request>>>) {
    let _ = socket.set_nodelay(true);
    while let Some(request) = read(&mut socket).await {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        let answer = script(number, &request);
        if socket.write_all(&answer.bytes(&request.method)).await.is_err() {
            return;
        }
        match answer.then {
            Then::NextRequest => {}
            Then::Close => return,
            Then::Reset => {
                // What was sent must have left before the reset overtakes it.
                let _ = socket.flush().await;
                tokio::time::sleep(Duration::from_millis(50)).await;
                let _ = socket.set_zero_linger();
                return;
            }
            Then::Stall => std::future::pending().await,
        }
    }
}

async fn read(socket: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 << 10];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        match socket.read(&mut piece).await {
            // A handshake of TLS; servers of plain HTTP answer so.
            Ok(n) if n > 0 && bytes.is_empty() && piece[0] == 22 => {
                socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.ok()?;
                return None;
            }
            Ok(n) if n > 0 => bytes.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut words = head.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut request = Request { method, target, head, body: bytes.split_off(end) };
    if request.header("expect").contains("100") {
        socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    let len: usize = request.header("content-length").parse().unwrap_or(0);
    while request.body.len() < len {
        match socket.read(&mut piece).await {
            Ok(n) if n > 0 => request.body.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    }
    Some(request)
}
