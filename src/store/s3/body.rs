//! The bytes of an object on their way out: a [`Body`] as the SDK sends it, plain or with its checksum behind it.
//!
//! One pass: the CRC32C that the writer computed while it read goes behind the bytes, in a trailer of the
//! `aws-chunked` coding, so nothing is buffered and nothing is hashed twice. The framing is made of small
//! pieces of its own; the payload's pieces pass through as they are.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>
//!
//! Invariant: the last piece leaves only when the source has said that it ended well and with the length that
//! was promised. So a source that fails, or lies about its length, never becomes an object, and where a request
//! broke before its last byte ([`Sending::end`]) the store cannot have all of it.
//!
//! Trade-off: one piece more is held at the end of each body. What a request holds is let go of with its
//! [`Sending`], at once, whenever the connection's own task comes to see that the request is over.

use super::exchange::Exchange;
use crate::{
    error::{Code, Error, Result},
    store::{Body, ByteStream, Key, parts::wrong_length},
};
use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut},
    error::BoxError,
    primitives::{ByteStream as SdkStream, SdkBody},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

/// Payload bytes of a chunk. Servers may hold a chunk in memory before they look at it, and MinIO refuses
/// chunks over 16 MiB; a chunk as large as a piece adds one small frame to each piece, which costs nothing
/// that could be measured.
const CHUNK: u64 = 256 << 10;

/// The trailer, and the header that holds the same where the store takes no trailer.
const CHECKSUM: &str = "x-amz-checksum-crc32c";

/// How a store learns what the bytes must add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integrity {
    /// CRC32C in a trailer, in one pass.
    Trailer,
    /// CRC32C in a header; the source is read once more before it is sent, unless its checksum is known.
    Header,
    /// Not at all: the store refuses both.
    Nothing,
}

/// A body that is ready to be sent, once.
pub(super) struct Prepared {
    /// For the request's `body`.
    pub body: SdkStream,
    /// For the request's checksum field.
    pub header: Option<String>,
    /// For `customize().interceptor`.
    pub payload: Payload,
    /// What the sender knows of it. Dropping it ends the body.
    pub sending: Sending,
}

impl Prepared {
    /// Makes `source` ready. With `signed` its SHA-256 is signed, for which it is read once more.
    pub async fn new(
        key: &Key,
        source: Arc<dyn Body>,
        integrity: Integrity,
        signed: bool,
    ) -> Result<Prepared> {
        // Signed chunks would be a third framing, for stores that are said to take less, not more.
        let integrity = if signed && integrity == Integrity::Trailer { Integrity::Header } else { integrity };
        let (mut crc32c, mut sha256) = (None, None);
        // Nobody asks a body of no bytes for them, so it is asked here whether it keeps its word.
        if signed || source.is_empty() || integrity == Integrity::Header && source.crc32c().is_none() {
            sha256 = read_once(key, source.as_ref(), signed).await?;
        }
        if integrity == Integrity::Header {
            crc32c = Some(source.crc32c().ok_or_else(|| no_checksum(key))?);
        }
        let framing = if integrity == Integrity::Trailer { Framing::Chunked } else { Framing::Plain };
        let len = source.len();
        let encoded = framing.encoded_len(len);
        let shared = Arc::new(Shared {
            exchange: Exchange::new(false),
            waiting: AtomicBool::new(false),
            drained: AtomicBool::new(encoded == 0),
            failure: OnceLock::new(),
            flow: Mutex::new(Some(Flow::new(key.clone(), source, framing))),
        });
        let frames = Frames { shared: shared.clone(), left: encoded };
        Ok(Prepared {
            body: SdkStream::new(SdkBody::from_body_1_x(frames)),
            header: crc32c.map(header_value),
            payload: match (framing, sha256) {
                (Framing::Chunked, _) => Payload::Trailer(len),
                (Framing::Plain, Some(hash)) => Payload::Signed(hash),
                (Framing::Plain, None) => Payload::Unsigned,
            },
            sending: Sending(shared),
        })
    }
}

/// Reads the source to its end: for its checksum, which it knows then, and for the SHA-256 in hexadecimal.
async fn read_once(key: &Key, source: &dyn Body, hash: bool) -> Result<Option<String>> {
    let (mut sha256, mut stream, mut got) = (Sha256::new(), source.open(), 0);
    while let Some(piece) = stream.next().await.transpose()? {
        got += piece.len() as u64;
        if got > source.len() {
            break;
        }
        if hash {
            sha256.update(&piece);
        }
    }
    if got != source.len() {
        return Err(wrong_length(key, source.len(), got));
    }
    // It was read and not sent.
    source.not_kept();
    Ok(hash.then(|| sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// A CRC32C as S3 writes it: base64 of its bytes, most significant first.
pub(super) fn header_value(crc32c: u32) -> String {
    BASE64_STANDARD.encode(crc32c.to_be_bytes())
}

fn no_checksum(key: &Key) -> Error {
    Error::new(Code::Internal, format!("the source of {key} ended without a checksum; please report this"))
}

/// What the sender of a request knows of its body. Dropping it lets go of all that the body holds.
#[derive(Debug)]
pub(super) struct Sending(Arc<Shared>);

impl Sending {
    /// The exchange that the request must carry as its interceptor.
    pub fn exchange(&self) -> Exchange {
        self.0.exchange.clone()
    }

    /// What `work` gives, or none once nothing has moved for `limit`. While the source has nothing to send the
    /// store is not to blame.
    pub async fn guard<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            if let Some(done) = self.0.exchange.guard(limit, work.as_mut()).await {
                return Some(done);
            }
            if !self.0.waiting.load(Ordering::Acquire) {
                return None;
            }
            self.0.exchange.note();
        }
    }

    /// Ends the body where it is, and tells whether its last byte had been handed over. If not, the store cannot
    /// have the whole, and never will.
    pub fn end(&self) -> bool {
        // What is under way in another thread is either counted or cut off.
        self.0.flow.lock().take();
        self.0.drained.load(Ordering::Acquire)
    }

    /// Why the source failed, if it did: the cause of whatever the request says then.
    pub fn failure(&self) -> Option<Error> {
        self.0.failure.get().cloned()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.flow.lock().take();
    }
}

#[derive(Debug)]
struct Shared {
    exchange: Exchange,
    /// The connection asked for bytes that the source does not have yet.
    waiting: AtomicBool,
    drained: AtomicBool,
    failure: OnceLock<Error>,
    flow: Mutex<Option<Flow>>,
}

/// The frames of one request, as the connection takes them.
struct Frames {
    shared: Arc<Shared>,
    /// Bytes to come, framing included.
    left: u64,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let shared = self.shared.clone();
        let mut flow = shared.flow.lock();
        let Some(open) = flow.as_mut() else {
            return Poll::Ready(Some(Err("the request is over".into())));
        };
        let polled = open.poll(cx);
        shared.waiting.store(polled.is_pending(), Ordering::Release);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(bytes)) => {
                shared.exchange.note();
                self.left = self.left.saturating_sub(bytes.len() as u64);
                if self.left == 0 {
                    *flow = None;
                    shared.drained.store(true, Ordering::Release);
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Poll::Ready(Err(e)) => {
                *flow = None;
                let _ = shared.failure.set(e.clone());
                Poll::Ready(Some(Err(e.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Plain,
    Chunked,
}

impl Framing {
    /// How many bytes `len` bytes become.
    fn encoded_len(self, len: u64) -> u64 {
        match self {
            Framing::Plain => len,
            Framing::Chunked => {
                let (whole, rest) = (len / CHUNK, len % CHUNK);
                let chunk = |len: u64| format!("{len:x}").len() as u64 + 2 + len + 2;
                whole * chunk(CHUNK) + if rest > 0 { chunk(rest) } else { 0 } + end(0).len() as u64
            }
        }
    }
}

/// The empty chunk and the trailer: what stands behind the last byte and its line end.
fn end(crc32c: u32) -> String {
    format!("0\r\n{CHECKSUM}:{}\r\n\r\n", header_value(crc32c))
}

/// A source that is being read and framed.
struct Flow {
    key: Key,
    source: Arc<dyn Body>,
    stream: ByteStream,
    framing: Framing,
    /// Bytes that the source gave, and how many of them were framed.
    got: u64,
    framed: u64,
    /// Bytes that are missing in the open chunk.
    chunk_left: u64,
    /// The last piece, until the source has ended.
    held: Option<Bytes>,
    out: VecDeque<Bytes>,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} body of {}, {} of {} bytes", self.framing, self.key, self.got, self.source.len())
    }
}

impl Flow {
    fn new(key: Key, source: Arc<dyn Body>, framing: Framing) -> Flow {
        Flow {
            key,
            stream: source.open(),
            source,
            framing,
            got: 0,
            framed: 0,
            chunk_left: 0,
            held: None,
            out: VecDeque::new(),
        }
    }

    /// The next bytes to send. Not asked again after the last.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        loop {
            if let Some(bytes) = self.out.pop_front() {
                return Poll::Ready(Ok(bytes));
            }
            match self.stream.poll_next_unpin(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Err(e)),
                Poll::Ready(Some(Ok(piece))) => {
                    self.got += piece.len() as u64;
                    let len = self.source.len();
                    if self.got > len {
                        return Poll::Ready(Err(wrong_length(&self.key, len, self.got)));
                    }
                    if self.got == len && !piece.is_empty() {
                        self.held = Some(piece);
                    } else {
                        self.frame(piece);
                    }
                }
                Poll::Ready(None) => self.finish()?,
            }
        }
    }

    fn frame(&mut self, mut piece: Bytes) {
        if self.framing == Framing::Plain {
            if !piece.is_empty() {
                self.out.push_back(piece);
            }
            return;
        }
        while !piece.is_empty() {
            if self.chunk_left == 0 {
                let line_end = if self.framed == 0 { "" } else { "\r\n" };
                self.chunk_left = CHUNK.min(self.source.len() - self.framed);
                self.out.push_back(format!("{line_end}{:x}\r\n", self.chunk_left).into());
            }
            let taken = piece.split_to(self.chunk_left.min(piece.len() as u64) as usize);
            self.chunk_left -= taken.len() as u64;
            self.framed += taken.len() as u64;
            self.out.push_back(taken);
        }
    }

    /// The source has ended.
    fn finish(&mut self) -> Result<()> {
        if self.got != self.source.len() {
            return Err(wrong_length(&self.key, self.source.len(), self.got));
        }
        if let Some(last) = self.held.take() {
            self.frame(last);
        }
        if self.framing == Framing::Chunked {
            let crc32c = self.source.crc32c().ok_or_else(|| no_checksum(&self.key))?;
            let line_end = if self.framed == 0 { "" } else { "\r\n" };
            self.out.push_back(format!("{line_end}{}", end(crc32c)).into());
        }
        Ok(())
    }
}

/// How a request's payload is coded and signed. The SDK would sign a SHA-256 of each chunk over plain HTTP, or
/// hash the payload again for a trailer of its own; this says what is there instead.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    /// Not signed.
    Unsigned,
    /// Not signed, chunked, with a trailer; the payload's length in bytes.
    Trailer(u64),
    /// Its SHA-256 in hexadecimal is signed.
    Signed(String),
}

impl Intercept for Payload {
    fn name(&self) -> &'static str {
        "seglift codes the payload"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(match self {
            Payload::Unsigned => PayloadSigningOverride::UnsignedPayload,
            Payload::Trailer(_) => PayloadSigningOverride::StreamingUnsignedPayloadTrailer,
            Payload::Signed(hash) => PayloadSigningOverride::Precomputed(hash.clone()),
        });
        if let Payload::Trailer(len) = self {
            let headers = context.request_mut().headers_mut();
            headers.insert("content-encoding", "aws-chunked");
            headers.insert("x-amz-trailer", CHECKSUM);
            headers.insert("x-amz-decoded-content-length", len.to_string());
        }
        Ok(())
    }
}

/// Notes when the body of a request that the SDK made itself is handed to a connection: before that the store
/// has seen nothing of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Handed(Arc<AtomicBool>);

impl Handed {
    /// Whether it was.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Intercept for Handed {
    fn name(&self) -> &'static str {
        "seglift notes when the request goes out"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request_mut().body_mut();
        let inner = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Noted { inner, handed: self.clone() });
        Ok(())
    }
}

struct Noted {
    inner: SdkBody,
    handed: Handed,
}

impl http_body::Body for Noted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.handed.0.store(true, Ordering::Release);
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::checksum::crc32c;
    use futures_util::{FutureExt, future, stream};
    use http_body::Body as _;

    /// Pieces, then an end or an error; what it says about its length may be wrong.
    struct Pieces {
        pieces: Vec<Bytes>,
        says: u64,
        failure: Option<Error>,
        opened: Arc<()>,
    }

    impl Pieces {
        fn new(pieces: &[Bytes]) -> Pieces {
            let says = pieces.iter().map(|piece| piece.len() as u64).sum();
            Pieces { pieces: pieces.to_vec(), says, failure: None, opened: Arc::new(()) }
        }
    }

    impl Body for Pieces {
        fn len(&self) -> u64 {
            self.says
        }

        fn open(&self) -> ByteStream {
            let open = self.opened.clone();
            let pieces = self.pieces.clone().into_iter().map(Ok).chain(self.failure.clone().map(Err));
            stream::iter(pieces.collect::<Vec<_>>()).inspect(move |_| drop(open.clone())).boxed()
        }

        fn crc32c(&self) -> Option<u32> {
            Some(crc32c(&self.pieces.concat()))
        }
    }

    fn key() -> Key {
        Key::new("k").unwrap()
    }

    fn prepared(source: Pieces, integrity: Integrity, signed: bool) -> Result<Prepared> {
        let key = key();
        let made = Prepared::new(&key, Arc::new(source), integrity, signed);
        made.now_or_never().expect("its source never waits")
    }

    /// All that goes out, and the error that it ends with.
    fn sent(body: SdkStream) -> (Vec<u8>, Option<BoxError>) {
        let (mut all, mut body) = (Vec::new(), body.into_inner());
        loop {
            let announced = body.size_hint().exact().unwrap();
            let frame = future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).now_or_never().unwrap();
            match frame {
                None => {
                    assert_eq!(announced, 0, "every byte that was announced came");
                    return (all, None);
                }
                Some(Err(e)) => return (all, Some(e)),
                Some(Ok(frame)) => {
                    let frame = frame.into_data().unwrap();
                    assert_eq!(body.size_hint().exact().unwrap() + frame.len() as u64, announced);
                    all.extend_from_slice(&frame);
                }
            }
        }
    }

    fn blob(len: usize) -> Bytes {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn a_trailer_follows_the_bytes_in_the_aws_chunked_coding() {
        // CRC32C of "123456789" is 0xE3069283 (RFC 3720's polynomial, the usual check value).
        let digits = Pieces::new(&[Bytes::from("1234"), Bytes::new(), Bytes::from("56789")]);
        let made = prepared(digits, Integrity::Trailer, false).unwrap();
        assert!(made.header.is_none() && matches!(made.payload, Payload::Trailer(9)));
        let (all, failure) = sent(made.body);
        assert!(failure.is_none() && made.sending.end());
        assert_eq!(
            String::from_utf8(all).unwrap(),
            "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n"
        );
        let nothing = prepared(Pieces::new(&[]), Integrity::Trailer, false).unwrap();
        assert_eq!(sent(nothing.body).0, b"0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n");
    }

    #[test]
    fn chunks_have_one_size_however_the_pieces_come() {
        let chunk = CHUNK as usize;
        for len in [1, chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk + 5] {
            let content = blob(len);
            for piece in [1000, 100_000, chunk, chunk + 7, 4 * chunk] {
                let pieces: Vec<_> =
                    (0..len).step_by(piece).map(|at| content.slice(at..len.min(at + piece))).collect();
                let made = prepared(Pieces::new(&pieces), Integrity::Trailer, false).unwrap();
                let (all, failure) = sent(made.body);
                assert!(failure.is_none(), "{len} bytes in pieces of {piece}");
                let (mut rest, mut decoded) = (&all[..], Vec::new());
                loop {
                    let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
                    let size =
                        usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
                    rest = &rest[line + 2..];
                    if size == 0 {
                        break;
                    }
                    assert_eq!(size, chunk.min(len - decoded.len()));
                    decoded.extend_from_slice(&rest[..size]);
                    assert_eq!(&rest[size..size + 2], b"\r\n");
                    rest = &rest[size + 2..];
                }
                assert!(decoded == content, "{len} bytes in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_header_holds_the_checksum_and_the_signed_hash_where_there_is_no_trailer() {
        let digits = || Pieces::new(&[Bytes::from("123456789")]);
        let made = prepared(digits(), Integrity::Header, false).unwrap();
        assert_eq!(made.header.as_deref(), Some("4waSgw=="));
        assert!(matches!(made.payload, Payload::Unsigned));
        assert_eq!(sent(made.body).0, b"123456789");

        let made = prepared(digits(), Integrity::Trailer, true).unwrap();
        assert_eq!(made.header.as_deref(), Some("4waSgw=="));
        let Payload::Signed(hash) = &made.payload else { panic!("{:?}", made.payload) };
        assert_eq!(hash, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");

        let made = prepared(digits(), Integrity::Nothing, false).unwrap();
        assert!(made.header.is_none() && matches!(made.payload, Payload::Unsigned));
    }

    #[test]
    fn the_last_piece_stays_until_the_source_has_ended_well() {
        let pieces = [blob(1000), blob(500)];
        for integrity in [Integrity::Trailer, Integrity::Header] {
            let failure = Error::new(Code::SourceFailed, "the disk is gone");
            let source = Pieces { failure: Some(failure), ..Pieces::new(&pieces) };
            let made = prepared(source, integrity, false).unwrap();
            let (all, failure) = sent(made.body);
            assert!(failure.is_some() && all.len() < 1100, "{} bytes went out", all.len());
            assert_eq!(made.sending.failure().map(|e| e.code()), Some(Code::SourceFailed));
            assert!(!made.sending.end());
        }
    }

    #[test]
    fn a_source_that_lies_about_its_length_is_never_sent_whole() {
        for integrity in [Integrity::Trailer, Integrity::Nothing] {
            for says in [0, 1, 1499, 1501, 9000] {
                let source = Pieces { says, ..Pieces::new(&[blob(1000), blob(500)]) };
                let failure = match prepared(source, integrity, false) {
                    Err(e) => e,
                    Ok(made) => {
                        let (_, failure) = sent(made.body);
                        assert!(failure.is_some() && !made.sending.end(), "{says} for 1500");
                        made.sending.failure().unwrap()
                    }
                };
                assert_eq!(failure.code(), Code::Internal, "{says} for 1500");
            }
        }
    }

    #[test]
    fn dropping_the_sender_lets_go_of_the_source_though_the_connection_has_the_body() {
        let source = Pieces::new(&[blob(1000), blob(500)]);
        let opened = Arc::downgrade(&source.opened);
        let Prepared { body, sending, .. } = prepared(source, Integrity::Trailer, false).unwrap();
        let mut body = body.into_inner();
        let mut next = || future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).now_or_never().unwrap();
        assert!(next().unwrap().is_ok());
        assert!(opened.upgrade().is_some());
        drop(sending);
        assert!(opened.upgrade().is_none());
        assert!(next().unwrap().is_err(), "what was cut off never ends as if it were whole");
    }

    #[test]
    fn what_was_ended_before_its_last_byte_never_becomes_whole() {
        let pieces = [blob(1000), blob(500)];
        for frames in 0..3 {
            let made = prepared(Pieces::new(&pieces), Integrity::Header, false).unwrap();
            let mut body = made.body.into_inner();
            let mut next =
                || future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).now_or_never().unwrap();
            for _ in 0..frames {
                assert!(next().unwrap().is_ok());
            }
            assert_eq!(made.sending.end(), frames == 2, "after {frames} pieces");
            assert!(next().is_none_or(|frame| frame.is_err()), "after {frames} pieces");
        }
    }
}
