//! As much of HTTP/1.1 (RFC 9112) as a proxy needs that must be able to do it wrong: heads as lines, bodies by their
//! length or in chunks, and every byte in the proxy's own hand.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest head, and the longest line of a chunk.
const MAX_HEAD: usize = 64 << 10;
/// Bytes that are read and passed on at a time.
const PIECE: usize = 64 << 10;

/// A request's or an answer's lines before its body.
#[derive(Clone, Debug)]
pub struct Head {
    /// `GET /bucket/key HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub first: String,
    pub headers: Vec<(String, String)>,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    Length(u64),
    Chunked,
    /// To the end of the connection.
    Rest,
}

impl Head {
    fn parse(text: &str) -> Option<Head> {
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let first = lines.next()?.to_owned();
        let header =
            |line: &str| line.split_once(':').map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned()));
        Some(Head { first, headers: lines.map(header).collect::<Option<_>>()? })
    }

    /// The word number `n` of the first line.
    pub fn word(&self, n: usize) -> &str {
        self.first.split(' ').nth(n).unwrap_or("")
    }

    /// An answer's status; 0 where it has none.
    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or(0)
    }

    /// The value of a header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// Takes a header away; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.headers.len();
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.len() < before
    }

    /// Gives a header another value, or the head another header.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.headers.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some(header) => header.1 = value.to_owned(),
            None => self.headers.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Whether its sender ends the connection after it.
    pub fn closes(&self) -> bool {
        self.header("connection").eq_ignore_ascii_case("close")
    }

    fn chunked(&self) -> bool {
        self.header("transfer-encoding").eq_ignore_ascii_case("chunked")
    }

    /// How long the body of this request is.
    pub fn request_framing(&self) -> Framing {
        match self.header("content-length").parse() {
            _ if self.chunked() => Framing::Chunked,
            Ok(length) => Framing::Length(length),
            Err(_) => Framing::Length(0),
        }
    }

    /// How long the body of this answer to a request with `method` is.
    pub fn answer_framing(&self, method: &str) -> Framing {
        if method == "HEAD" || matches!(self.status(), 100..200 | 204 | 304) {
            return Framing::Length(0);
        }
        match self.header("content-length").parse() {
            _ if self.chunked() => Framing::Chunked,
            Ok(length) => Framing::Length(length),
            Err(_) => Framing::Rest,
        }
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        (text + "\r\n").into_bytes()
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// The reading half of a connection.
pub struct Incoming<R> {
    from: R,
    held: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub fn new(from: R) -> Self {
        Incoming { from, held: Vec::new() }
    }

    /// Whether more came before the end. Whoever stops waiting for it loses nothing.
    async fn fill(&mut self) -> io::Result<bool> {
        self.held.reserve(PIECE);
        Ok(self.from.read_buf(&mut self.held).await? > 0)
    }

    /// What stands before the next `mark`, without it; `None` at the end of the connection.
    async fn before(&mut self, mark: &[u8]) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = self.held.windows(mark.len()).position(|window| window == mark) {
                let rest = self.held.split_off(at + mark.len());
                let mut found = std::mem::replace(&mut self.held, rest);
                found.truncate(at);
                return String::from_utf8(found).map(Some).map_err(|_| broken("a head that is no text"));
            }
            if self.held.len() > MAX_HEAD {
                return Err(broken("a head without an end"));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// The next head; `None` at the end of the connection.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        let Some(text) = self.before(b"\r\n\r\n").await? else { return Ok(None) };
        Head::parse(&text).map(Some).ok_or_else(|| broken("a head with a line that is no header"))
    }

    /// Reads until the other side has closed the connection, and forgets what comes.
    pub async fn until_closed(&mut self) {
        while matches!(self.fill().await, Ok(true)) {
            self.held.clear();
        }
    }

    /// At most `most` bytes, at least one; an error at the end of the connection.
    async fn some(&mut self, most: u64) -> io::Result<Vec<u8>> {
        if self.held.is_empty() && !self.fill().await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let n = usize::try_from(most).unwrap_or(usize::MAX).min(self.held.len());
        let rest = self.held.split_off(n);
        Ok(std::mem::replace(&mut self.held, rest))
    }
}

/// A body on its way in.
pub struct Body {
    framing: Framing,
    /// Bytes that are left of the body, or of its present chunk.
    left: u64,
    ended: bool,
}

impl Body {
    pub fn new(framing: Framing) -> Body {
        let left = if let Framing::Length(length) = framing { length } else { 0 };
        Body { framing, left, ended: false }
    }

    /// The next bytes; `None` after the last.
    pub async fn next<R: AsyncRead + Unpin>(
        &mut self,
        from: &mut Incoming<R>,
    ) -> io::Result<Option<Vec<u8>>> {
        if self.framing == Framing::Rest {
            return match from.some(u64::MAX).await {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                piece => piece.map(Some),
            };
        }
        if self.framing == Framing::Chunked && self.left == 0 && !self.ended {
            let line = from.before(b"\r\n").await?.ok_or_else(|| broken("chunks without an end"))?;
            let size = line.split(';').next().unwrap_or("").trim();
            self.left = u64::from_str_radix(size, 16).map_err(|_| broken("a chunk without a size"))?;
            if self.left == 0 {
                // Trailers, which nobody here needs, up to an empty line.
                while from.before(b"\r\n").await?.is_some_and(|line| !line.is_empty()) {}
                self.ended = true;
            }
        }
        if self.left == 0 {
            return Ok(None);
        }
        let piece = from.some(self.left).await?;
        self.left -= piece.len() as u64;
        if self.framing == Framing::Chunked && self.left == 0 {
            from.before(b"\r\n").await?;
        }
        Ok(Some(piece))
    }
}

/// Sends bytes of a body as its framing wants them.
pub async fn send<W: AsyncWrite + Unpin>(to: &mut W, framing: Framing, piece: &[u8]) -> io::Result<()> {
    if framing != Framing::Chunked {
        return to.write_all(piece).await;
    }
    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
    chunk.extend_from_slice(piece);
    chunk.extend_from_slice(b"\r\n");
    to.write_all(&chunk).await
}

/// Ends a body.
pub async fn finish<W: AsyncWrite + Unpin>(to: &mut W, framing: Framing) -> io::Result<()> {
    if framing == Framing::Chunked { to.write_all(b"0\r\n\r\n").await } else { Ok(()) }
}
