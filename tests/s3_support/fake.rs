//! An S3 service of a few lines that does what a test tells it, lies included.
//!
//! It keeps objects and uploads in memory and understands just what the store sends when it writes. It checks no
//! signature. Whatever it gets is in its log, so that a test can say what went over the wire.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use md5::{Digest, Md5};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Put,
    Begin,
    Part,
    Parts,
    Commit,
    Abort,
    Delete,
    Get,
    Head,
    Other,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub kind: Kind,
    pub path: String,
    pub query: String,
    headers: BTreeMap<String, String>,
    /// As it came, framing included; what there was of it.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The payload without the framing of chunks.
    pub fn payload(&self) -> Vec<u8> {
        if self.header("content-encoding") != "aws-chunked" {
            return self.body.clone();
        }
        let (mut rest, mut payload) = (&self.body[..], Vec::new());
        loop {
            let line = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk begins with its size");
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
            if size == 0 {
                return payload;
            }
            payload.extend_from_slice(&rest[line + 2..line + 2 + size]);
            rest = &rest[line + 2 + size + 2..];
        }
    }
}

/// What happens to one request instead of what should.
#[allow(dead_code)] // What one test binary does not order, another does.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An error in XML: status and code.
    Error(u16, &'static str),
    /// Status, headers, body.
    Raw(u16, &'static [(&'static str, &'static str)], &'static str),
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// It is done, and the connection is closed without an answer.
    Lost,
    /// The same, and what is stored is not encrypted, whatever was asked.
    LostInTheClear,
    /// Something on the way sends it twice, and the second answer comes back.
    Twice,
    /// It is read and nothing happens any more.
    Silence,
    /// It is done and answered as it should, but with this header less.
    Without(&'static str),
}

const UUID: &str = "x-amz-meta-seglift-uuid";

/// What kind of look-alike it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// Takes `If-None-Match: *` and overwrites.
    pub ignores_condition: bool,
    /// Answers 501 to `If-None-Match`.
    pub refuses_condition: bool,
    /// Answers 501 to trailers.
    pub refuses_trailers: bool,
    /// Keeps the framing of chunks as part of the object, and echoes no checksum.
    pub keeps_framing: bool,
    /// Answers 400 to any checksum.
    pub refuses_checksums: bool,
    /// Does not echo encryption.
    pub ignores_encryption: bool,
    /// Shows no checksums in a list of parts.
    pub hides_checksums: bool,
    /// Shows the MD5 of each part as its ETag in a list of parts.
    pub shows_md5: bool,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// Objects, by path, and how they are encrypted.
    encrypted: BTreeMap<String, String>,
    /// The UUIDs of objects, by path, and of uploads, by id.
    uuids: BTreeMap<String, String>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    begun: usize,
    log: Vec<Request>,
    orders: Vec<(Kind, Reply)>,
}

/// The service, on a port of its own, until the process ends.
#[derive(Clone)]
pub struct Fake {
    address: SocketAddr,
    manners: Manners,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub fn start(manners: Manners) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Fake { address: listener.local_addr().unwrap(), manners, state: Arc::default() };
        let serving = fake.clone();
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let fake = serving.clone();
                thread::spawn(move || fake.serve(socket));
            }
        });
        fake
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What happens to the next request of this kind for which nothing else was ordered.
    pub fn order(&self, kind: Kind, reply: Reply) {
        self.state.lock().unwrap().orders.push((kind, reply));
    }

    /// Forgets one order of this kind; true when there was none left.
    #[allow(dead_code, reason = "one program of several takes something back")]
    pub fn take_back(&self, kind: Kind) -> bool {
        let orders = &mut self.state.lock().unwrap().orders;
        let found = orders.iter().position(|(ordered, _)| *ordered == kind);
        found.map(|found| orders.remove(found)).is_none()
    }

    /// All requests of a kind so far.
    pub fn requests(&self, kind: Kind) -> Vec<Request> {
        self.state.lock().unwrap().log.iter().filter(|request| request.kind == kind).cloned().collect()
    }

    /// An object's bytes.
    pub fn object(&self, path: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    /// How many objects and how many uploads there are.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.objects.len(), state.uploads.len())
    }

    fn serve(&self, socket: TcpStream) {
        let _ = socket.set_nodelay(true);
        let mut reader = BufReader::new(socket.try_clone().unwrap());
        while self.exchange(&mut reader, &socket).is_some() {}
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }

    /// One request and its answer; none where the connection is over.
    fn exchange(&self, reader: &mut BufReader<TcpStream>, mut socket: &TcpStream) -> Option<()> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut words = lines[0].split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let headers: BTreeMap<String, String> = lines[1..]
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let kind = match method.as_str() {
            "PUT" if has("partNumber") => Kind::Part,
            "PUT" => Kind::Put,
            "POST" if has("uploads") => Kind::Begin,
            "POST" if has("uploadId") => Kind::Commit,
            "DELETE" if has("uploadId") => Kind::Abort,
            "DELETE" => Kind::Delete,
            "GET" if has("uploadId") => Kind::Parts,
            "GET" => Kind::Get,
            "HEAD" => Kind::Head,
            _ => Kind::Other,
        };
        let order = {
            let mut state = self.state.lock().unwrap();
            let found = state.orders.iter().position(|(ordered, _)| *ordered == kind);
            found.map(|found| state.orders.remove(found).1)
        };
        let mut request = Request { kind, path: path.into(), query: query.into(), headers, body: Vec::new() };
        let len = request.header("content-length").parse().unwrap_or(0);
        let wanted = if let Some(Reply::Cut(bytes)) = order { len.min(bytes) } else { len };
        // What came before the connection broke is in the log, too.
        let read = reader.by_ref().take(wanted as u64).read_to_end(&mut request.body).unwrap_or(0);
        self.state.lock().unwrap().log.push(request.clone());
        if read < len {
            return None;
        }
        let answer = match order {
            None => self.done(&request),
            Some(Reply::Error(status, code)) => error(status, code),
            Some(Reply::Raw(status, headers, body)) => Answer {
                status,
                headers: headers.iter().map(|&(name, value)| (name, value.to_owned())).collect(),
                body: body.into(),
            },
            Some(Reply::Without(header)) => {
                let mut answer = self.done(&request);
                answer.headers.retain(|(name, _)| *name != header);
                answer
            }
            Some(Reply::Lost) => {
                self.done(&request);
                return None;
            }
            Some(Reply::LostInTheClear) => {
                self.done(&request);
                self.state.lock().unwrap().encrypted.remove(&request.path);
                return None;
            }
            Some(Reply::Twice) => {
                self.done(&request);
                self.done(&request)
            }
            Some(Reply::Silence) => {
                // Until the client gives up.
                let _ = reader.read(&mut [0]);
                return None;
            }
            Some(Reply::Cut(_)) => return None,
        };
        let mut head = format!("HTTP/1.1 {} x\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        socket.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        let body = if kind == Kind::Head { &[][..] } else { &answer.body };
        socket.write_all(body).ok()
    }

    /// What a service with these manners does.
    fn done(&self, request: &Request) -> Answer {
        let manners = &self.manners;
        let conditional = request.header("if-none-match") == "*";
        let trailers = !request.header("x-amz-trailer").is_empty();
        let checksum = !request.header("x-amz-checksum-crc32c").is_empty();
        let asks_checksum = !request.header("x-amz-checksum-algorithm").is_empty();
        if conditional && manners.refuses_condition || trailers && manners.refuses_trailers {
            return error(501, "NotImplemented");
        }
        if (checksum || trailers || asks_checksum) && manners.refuses_checksums {
            return error(400, "InvalidArgument");
        }
        let mut state = self.state.lock().unwrap();
        let taken = state.objects.contains_key(&request.path);
        let payload = match manners.keeps_framing {
            true => request.body.clone(),
            false if matches!(request.kind, Kind::Put | Kind::Part) => request.payload(),
            false => Vec::new(),
        };
        let id = request.query.split('&').find_map(|pair| pair.strip_prefix("uploadId=")).unwrap_or("");
        let mut headers = vec![("etag", format!("\"{:x}\"", payload.len()))];
        let encryption = request.header("x-amz-server-side-encryption");
        if !encryption.is_empty() && !manners.ignores_encryption {
            headers.push(("x-amz-server-side-encryption", encryption.into()));
        }
        let customer = request.header("x-amz-server-side-encryption-customer-key-md5");
        if !customer.is_empty() && !manners.ignores_encryption {
            headers.push(("x-amz-server-side-encryption-customer-algorithm", "AES256".into()));
            headers.push(("x-amz-server-side-encryption-customer-key-md5", customer.into()));
        }
        match request.kind {
            Kind::Put | Kind::Commit if conditional && taken && !manners.ignores_condition => {
                error(412, "PreconditionFailed")
            }
            Kind::Put => {
                state.encrypted.insert(request.path.clone(), encryption.into());
                state.uuids.insert(request.path.clone(), request.header(UUID).into());
                state.objects.insert(request.path.clone(), payload);
                Answer { status: 200, headers, body: Vec::new() }
            }
            Kind::Begin => {
                state.begun += 1;
                let id = format!("upload-{}", state.begun);
                state.uploads.insert(id.clone(), BTreeMap::new());
                state.uuids.insert(id.clone(), request.header(UUID).into());
                let result = "InitiateMultipartUploadResult";
                let body = format!("<{result}><UploadId>{id}</UploadId></{result}>");
                Answer { status: 200, headers, body: body.into() }
            }
            Kind::Part => {
                let number = request.query.split('&').find_map(|pair| pair.strip_prefix("partNumber="));
                let Some(upload) = state.uploads.get_mut(id) else { return error(404, "NoSuchUpload") };
                upload.insert(number.unwrap().parse().unwrap(), payload);
                Answer { status: 200, headers, body: Vec::new() }
            }
            Kind::Parts => {
                let Some(upload) = state.uploads.get(id) else { return error(404, "NoSuchUpload") };
                let marker =
                    request.query.split('&').find_map(|pair| pair.strip_prefix("part-number-marker="));
                let after = marker.map_or(0, |marker| marker.parse().unwrap());
                let all: Vec<_> = upload.iter().filter(|(number, _)| **number > after).collect();
                // Two on a page.
                let (shown, more) = (&all[..all.len().min(2)], all.len() > 2);
                let mut body = format!("<ListPartsResult><IsTruncated>{more}</IsTruncated>");
                for &(number, bytes) in shown {
                    let crc32c = seglift::codec::checksum::crc32c(bytes).to_be_bytes();
                    let crc32c = match manners.hides_checksums {
                        true => String::new(),
                        false => {
                            format!("<ChecksumCRC32C>{}</ChecksumCRC32C>", BASE64_STANDARD.encode(crc32c))
                        }
                    };
                    let len = bytes.len();
                    let etag = match manners.shows_md5 {
                        true => Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
                        false => format!("{len:x}"),
                    };
                    body += &format!(
                        "<Part><PartNumber>{number}</PartNumber>\
                         <ETag>\"{etag}\"</ETag><Size>{len}</Size>{crc32c}</Part>"
                    );
                }
                let last = shown.last().map_or(0, |(number, _)| **number);
                body += &format!("<NextPartNumberMarker>{last}</NextPartNumberMarker></ListPartsResult>");
                Answer { status: 200, headers: Vec::new(), body: body.into() }
            }
            Kind::Commit => {
                let Some(parts) = state.uploads.remove(id) else { return error(404, "NoSuchUpload") };
                let object = parts.into_values().collect::<Vec<_>>().concat();
                state.objects.insert(request.path.clone(), object);
                let uuid = state.uuids.remove(id).unwrap_or_default();
                state.uuids.insert(request.path.clone(), uuid);
                let result = "CompleteMultipartUploadResult";
                let body = format!("<{result}><ETag>\"e\"</ETag></{result}>");
                Answer { status: 200, headers, body: body.into() }
            }
            Kind::Abort => match state.uploads.remove(id) {
                Some(_) => Answer { status: 204, headers: Vec::new(), body: Vec::new() },
                None => error(404, "NoSuchUpload"),
            },
            Kind::Delete => {
                state.objects.remove(&request.path);
                Answer { status: 204, headers: Vec::new(), body: Vec::new() }
            }
            Kind::Get => match state.objects.get(&request.path) {
                Some(object) => {
                    let (asked, len) = (request.header("range"), object.len());
                    let numbers = asked.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
                    let (from, to) = match numbers {
                        Some(("", last)) => (len.saturating_sub(last.parse().unwrap()), len),
                        Some((from, to)) => {
                            (from.parse().unwrap(), len.min(to.parse::<usize>().unwrap() + 1))
                        }
                        None => (0, len),
                    };
                    let range = format!("bytes {from}-{}/{len}", to.max(1) - 1);
                    let body = object[from..to].to_vec();
                    Answer { status: 206, headers: vec![("content-range", range)], body }
                }
                None => error(404, "NoSuchKey"),
            },
            Kind::Head => match state.objects.get(&request.path) {
                Some(object) => {
                    let mut headers = vec![("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT".to_owned())];
                    headers.push(("etag", format!("\"{:x}\"", object.len())));
                    if let Some(uuid) = state.uuids.get(&request.path) {
                        headers.push((UUID, uuid.clone()));
                    }
                    if let Some(encryption) = state.encrypted.get(&request.path) {
                        headers.push(("x-amz-server-side-encryption", encryption.clone()));
                    }
                    Answer { status: 200, headers, body: object.clone() }
                }
                None => error(404, "NoSuchKey"),
            },
            Kind::Other => error(405, "MethodNotAllowed"),
        }
    }
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn error(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>as ordered</Message></Error>");
    Answer { status, headers: Vec::new(), body: body.into() }
}
