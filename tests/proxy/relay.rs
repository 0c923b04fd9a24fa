//! One connection: each request goes to the store and its answer comes back, unless a fault has other plans.
//!
//! Bytes pass as they come, in both directions at once, so that a store may answer before it has taken the whole
//! request, and a client sees it.

use super::{
    Shared,
    http::{Body, Framing, Head, Incoming, finish, send},
    script::{Fault, Operation},
    sign,
};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    time::sleep,
};

/// Between two pieces of a body that drips.
const DRIP: Duration = Duration::from_millis(10);
/// What was sent must have left before a reset overtakes it.
const LEAVE: Duration = Duration::from_millis(50);
/// How long nobody takes more of a request, after which it is seen whether the client has gone: longer than the clients
/// of these tests wait. Until then the store holds the beginning of a request, and perhaps a lock on its key.
const HOLD: Duration = Duration::from_secs(5);

/// How a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    NextRequest,
    Close,
    Reset,
}

/// The connection to the store that belongs to a client's.
struct Upstream {
    read: Incoming<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Upstream {
    async fn connect(target: &str) -> io::Result<Upstream> {
        let socket = TcpStream::connect(target).await?;
        socket.set_nodelay(true)?;
        // Whoever gives up in the middle of a request resets it; between two requests it makes no difference.
        socket.set_zero_linger()?;
        let (read, write) = socket.into_split();
        Ok(Upstream { read: Incoming::new(read), write })
    }
}

/// Serves a client until its connection ends.
pub async fn relay(mut socket: TcpStream, shared: &Shared) {
    let _ = socket.set_nodelay(true);
    let then = {
        let (read, mut write) = socket.split();
        let mut read = Incoming::new(read);
        let mut upstream = None;
        loop {
            match exchange(&mut read, &mut write, &mut upstream, shared).await {
                Ok(Then::NextRequest) => {}
                Ok(then) => break then,
                // The client or the store has gone: the other one sees a connection that closes.
                Err(_) => break Then::Close,
            }
        }
    };
    if then == Then::Reset {
        sleep(LEAVE).await;
        let _ = socket.set_zero_linger();
    }
}

async fn exchange<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    client: &mut Incoming<R>,
    answers: &mut W,
    upstream: &mut Option<Upstream>,
    shared: &Shared,
) -> io::Result<Then> {
    let Some(mut head) = client.head().await? else { return Ok(Then::Close) };
    let (method, operation) = (head.word(0).to_owned(), Operation::of(head.word(0), head.word(1)));
    let fault = shared.fault(operation, &head);
    let framing = head.request_framing();

    match &fault {
        Some(Fault::Reset) => return Ok(Then::Reset),
        Some(Fault::Stall) => {
            client.until_closed().await;
            return Ok(Then::Close);
        }
        Some(own @ (Fault::Status(..) | Fault::Html(_))) => {
            let mut body = Body::new(framing);
            while body.next(client).await?.is_some() {}
            answers.write_all(&own_answer(own, operation, &method)).await?;
            return Ok(Then::NextRequest);
        }
        Some(Fault::Delay(time)) => sleep(*time).await,
        Some(Fault::Whole) => sign::without(&mut head, "range", &shared.keys),
        Some(Fault::Overwrite) => sign::without(&mut head, "if-none-match", &shared.keys),
        _ => {}
    }

    if upstream.is_none() {
        *upstream = Some(Upstream::connect(&shared.target).await?);
    }
    let store = upstream.as_mut().expect("it was just made");
    store.write.write_all(&head.bytes()).await?;
    let mut answer = if fault == Some(Fault::Twice) {
        let mut all = Vec::new();
        let mut body = Body::new(framing);
        while let Some(piece) = body.next(client).await? {
            all.extend_from_slice(&piece);
        }
        let first = said(store, &all, framing).await?;
        let mut body = Body::new(first.answer_framing(&method));
        while body.next(&mut store.read).await?.is_some() {}
        store.write.write_all(&head.bytes()).await?;
        said(store, &all, framing).await?
    } else {
        let edit = Edit::of_request(&fault, framing);
        let Upstream { read, write } = store;
        tokio::select! {
            // The request first: a store that answers in the middle of it is heard all the same.
            sent = pass(Body::new(framing), client, write, framing, edit) => match sent? {
                Passed::Whole => final_head(read, answers).await?,
                Passed::Reset => return Ok(Then::Reset),
                Passed::Hang | Passed::Closed => {
                    sleep(HOLD).await;
                    client.until_closed().await;
                    return Ok(Then::Close);
                }
            },
            early = final_head(read, answers) => {
                let answer = early?;
                let framing = answer.answer_framing(&method);
                answers.write_all(&answer.bytes()).await?;
                pass(Body::new(framing), read, answers, framing, Edit::nothing()).await?;
                return Ok(Then::Close);
            }
        }
    };

    let framing = answer.answer_framing(&method);
    match &fault {
        Some(Fault::Lost) => return Ok(Then::Close),
        Some(Fault::Mute) => {
            client.until_closed().await;
            return Ok(Then::Close);
        }
        Some(Fault::Done(status)) => {
            let mut body = Body::new(framing);
            while body.next(&mut store.read).await?.is_some() {}
            answers.write_all(&own_answer(&Fault::Status(*status, None), operation, &method)).await?;
            return Ok(Then::NextRequest);
        }
        Some(Fault::NoEtag) => _ = answer.remove("etag"),
        Some(Fault::Range(n)) => shift_range(&mut answer, *n),
        _ => {}
    }
    let edit = Edit::of_answer(&fault, framing);
    if let (Framing::Length(_), Some(length)) = (framing, edit.told) {
        answer.set("Content-Length", &length.to_string());
    }
    answers.write_all(&answer.bytes()).await?;
    let passed = pass(Body::new(framing), &mut store.read, answers, framing, edit).await?;
    Ok(match passed {
        Passed::Reset => Then::Reset,
        Passed::Closed => Then::Close,
        Passed::Hang => {
            client.until_closed().await;
            Then::Close
        }
        // Of a body that was made shorter the store still sends the rest.
        Passed::Whole if answer.closes() || framing == Framing::Rest || edit.told.is_some() => Then::Close,
        Passed::Whole => Then::NextRequest,
    })
}

/// The answer to a request whose head was sent already.
async fn said(store: &mut Upstream, body: &[u8], framing: Framing) -> io::Result<Head> {
    send(&mut store.write, framing, body).await?;
    finish(&mut store.write, framing).await?;
    final_head(&mut store.read, &mut tokio::io::sink()).await
}

/// The next head that is not only in between (`100 Continue`); those go straight on.
async fn final_head<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    from: &mut Incoming<R>,
    to: &mut W,
) -> io::Result<Head> {
    loop {
        let head = from.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if !(100..200).contains(&head.status()) {
            return Ok(head);
        }
        to.write_all(&head.bytes()).await?;
    }
}

/// What happens to a body on its way.
#[derive(Clone, Copy, Debug)]
struct Edit {
    /// After so many bytes of it.
    at: u64,
    act: Act,
    /// The length that is told, where it is another one than the body's.
    told: Option<u64>,
    /// The longest piece, where it drips.
    drip: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Nothing,
    Flip(u8),
    Reset,
    Close,
    Hang,
    /// The body ends here.
    End,
    /// So many bytes more follow the last.
    More(u64),
}

enum Passed {
    Whole,
    Reset,
    Closed,
    Hang,
}

impl Edit {
    fn nothing() -> Edit {
        Edit { at: u64::MAX, act: Act::Nothing, told: None, drip: None }
    }

    fn new(framing: Framing, at: u64, act: Act) -> Edit {
        let at = if let Framing::Length(length) = framing { at % length.max(1) } else { at };
        Edit { at, act, ..Edit::nothing() }
    }

    fn of_request(fault: &Option<Fault>, framing: Framing) -> Edit {
        match *fault {
            Some(Fault::UpBreak(n)) => Edit::new(framing, n, Act::Reset),
            Some(Fault::UpHang(n)) => Edit::new(framing, n, Act::Hang),
            Some(Fault::UpFlip(bit)) => Edit::new(framing, bit / 8, Act::Flip((bit % 8) as u8)),
            Some(Fault::UpDrip(n)) => Edit { drip: Some(n), ..Edit::nothing() },
            _ => Edit::nothing(),
        }
    }

    fn of_answer(fault: &Option<Fault>, framing: Framing) -> Edit {
        let length = if let Framing::Length(length) = framing { length } else { u64::MAX };
        match *fault {
            Some(Fault::Break(n)) => Edit::new(framing, n, Act::Reset),
            Some(Fault::Cut(n)) => Edit::new(framing, n, Act::Close),
            Some(Fault::Hang(n)) => Edit::new(framing, n, Act::Hang),
            Some(Fault::Flip(bit)) => Edit::new(framing, bit / 8, Act::Flip((bit % 8) as u8)),
            Some(Fault::Short(n)) if length > 0 => {
                // In chunks nobody knows the end, so there it is counted from the beginning.
                let left = if length == u64::MAX { n } else { length - 1 - (n - 1) % length };
                Edit { told: Some(left), ..Edit::new(Framing::Rest, left, Act::End) }
            }
            Some(Fault::Long(n)) => {
                Edit { told: Some(length.saturating_add(n)), act: Act::More(n), ..Edit::nothing() }
            }
            Some(Fault::Drip(n)) => Edit { drip: Some(n), ..Edit::nothing() },
            _ => Edit::nothing(),
        }
    }
}

/// Passes a body on, with what happens to it.
async fn pass<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    mut body: Body,
    from: &mut Incoming<R>,
    to: &mut W,
    framing: Framing,
    edit: Edit,
) -> io::Result<Passed> {
    let mut passed = 0;
    // With nothing in the body the act is at its end.
    let ends = |act| match act {
        Act::Reset => Some(Passed::Reset),
        Act::Close => Some(Passed::Closed),
        Act::Hang => Some(Passed::Hang),
        _ => None,
    };
    while let Some(mut piece) = body.next(from).await? {
        let there = usize::try_from(edit.at - passed).unwrap_or(usize::MAX);
        let len = piece.len();
        if there < len {
            match edit.act {
                Act::Flip(bit) => piece[there] ^= 1 << bit,
                Act::Nothing | Act::More(_) => {}
                act => {
                    if there > 0 {
                        send(to, framing, &piece[..there]).await?;
                    }
                    if let Some(end) = ends(act) {
                        return Ok(end);
                    }
                    finish(to, framing).await?;
                    return Ok(Passed::Whole);
                }
            }
        }
        for part in piece.chunks(edit.drip.map_or(len, |n| n as usize)) {
            send(to, framing, part).await?;
            if edit.drip.is_some() {
                sleep(DRIP).await;
            }
        }
        passed += len as u64;
        // Flipped already, or still to come.
        if passed > edit.at {
            return pass_rest(body, from, to, framing).await;
        }
    }
    if let Some(end) = ends(edit.act) {
        return Ok(end);
    }
    if let Act::More(n) = edit.act {
        send(to, framing, &vec![b'x'; n as usize]).await?;
    }
    finish(to, framing).await?;
    Ok(Passed::Whole)
}

async fn pass_rest<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    mut body: Body,
    from: &mut Incoming<R>,
    to: &mut W,
    framing: Framing,
) -> io::Result<Passed> {
    while let Some(piece) = body.next(from).await? {
        send(to, framing, &piece).await?;
    }
    finish(to, framing).await?;
    Ok(Passed::Whole)
}

/// An answer that the store knows nothing of.
fn own_answer(fault: &Fault, operation: Operation, method: &str) -> Vec<u8> {
    let (status, kind, body) = match fault {
        Fault::Html(status) => {
            let page =
                "<html><head><title>Sorry</title></head><body><h1>Sorry</h1>Come back later.</body></html>";
            (*status, "text/html", page.to_owned())
        }
        Fault::Status(status, code) => {
            let code = code.as_deref().unwrap_or_else(|| usual_code(*status, operation));
            let page = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>On purpose.</Message>\
                 <RequestId>FAULT</RequestId><HostId>PROXY</HostId></Error>"
            );
            (*status, "application/xml", page)
        }
        _ => unreachable!("{fault} is no answer"),
    };
    let mut head = Head { first: format!("HTTP/1.1 {status} On Purpose"), headers: Vec::new() };
    head.set("Content-Type", kind);
    head.set("x-amz-request-id", "FAULT");
    if matches!(status, 429 | 503) {
        head.set("Retry-After", "1");
    }
    head.set("Content-Length", &body.len().to_string());
    let mut bytes = head.bytes();
    if method != "HEAD" {
        bytes.extend_from_slice(body.as_bytes());
    }
    bytes
}

/// What S3 calls an error with this status (its API reference, "Error responses").
fn usual_code(status: u16, operation: Operation) -> &'static str {
    match (status, operation) {
        (400, _) => "InvalidRequest",
        (403, _) => "AccessDenied",
        (404, Operation::Part | Operation::Commit | Operation::Abort | Operation::Parts) => "NoSuchUpload",
        (404, _) => "NoSuchKey",
        (409, _) => "ConditionalRequestConflict",
        (412, _) => "PreconditionFailed",
        (416, _) => "InvalidRange",
        (429, _) => "TooManyRequests",
        (503, _) => "ServiceUnavailable",
        _ => "InternalError",
    }
}

/// `bytes 0-9/100` becomes `bytes 5-14/100`; an answer without a range gets one that nobody asked for.
fn shift_range(answer: &mut Head, n: u64) {
    let told = answer.header("content-range").trim_start_matches("bytes ").to_owned();
    let numbers = told.split_once('/').and_then(|(range, all)| {
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, all.to_owned()))
    });
    let (first, last, all) = numbers.unwrap_or((0, 0, "1".into()));
    answer
        .set("Content-Range", &format!("bytes {}-{}/{all}", first.saturating_add(n), last.saturating_add(n)));
}
