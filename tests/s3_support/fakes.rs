//! HTTP servers that answer what a test tells them, for the services around S3: instance metadata, containers,
//! STS, SSO, proxies, and an S3 that only notes who asked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, SystemTime},
};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// Path and query, or the whole URL where a proxy is asked.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As text.
    pub body: String,
}

impl Request {
    /// A header's value, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// Whose key signed it: `AKIA` in `Credential=AKIA/20260101/…`; empty where nobody's did.
    pub fn signed_by(&self) -> &str {
        let credential = self.header("authorization").split_once("Credential=");
        credential.and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default()
    }
}

/// What is answered.
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// 200 with a body.
pub fn ok(content_type: &'static str, body: impl Into<String>) -> Reply {
    Reply { status: 200, content_type, headers: Vec::new(), body: body.into() }
}

/// A status and nothing else.
pub fn status(status: u16) -> Reply {
    Reply { status, content_type: "text/plain", headers: Vec::new(), body: String::new() }
}

/// A server; stops when dropped.
pub struct Fake {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    stopped: Arc<AtomicBool>,
}

impl Fake {
    /// Starts a server that answers with what `answer` makes of a request and of how many came before it.
    pub fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (answer, notes, stop) = (Arc::new(answer), seen.clone(), stopped.clone());
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if stop.load(SeqCst) {
                    return;
                }
                let (answer, notes) = (answer.clone(), notes.clone());
                thread::spawn(move || _ = serve(socket, &*answer, &notes));
            }
        });
        Fake { address, seen, stopped }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers the requests of one connection until it ends.
fn serve(
    socket: TcpStream,
    answer: &(impl Fn(&Request, usize) -> Reply + ?Sized),
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut out = socket.try_clone()?;
    let mut lines = BufReader::new(socket);
    loop {
        let mut first = String::new();
        if lines.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut words = first.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
                None => break,
            }
        }
        let mut request = Request { method, target, headers, body: String::new() };
        let mut body = vec![0; request.header("content-length").parse().unwrap_or(0)];
        lines.read_exact(&mut body)?;
        request.body = String::from_utf8_lossy(&body).into_owned();
        let earlier = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        let reply = answer(&request, earlier);
        let mut text = format!(
            "HTTP/1.1 {} -\r\ncontent-type: {}\r\ncontent-length: {}\r\n",
            reply.status,
            reply.content_type,
            reply.body.len()
        );
        for (name, value) in &reply.headers {
            text += &format!("{name}: {value}\r\n");
        }
        out.write_all(format!("{text}\r\n{}", reply.body).as_bytes())?;
    }
}

/// The time so many seconds from now, as AWS writes it.
pub fn in_seconds(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(SystemTime::now() + Duration::from_secs(seconds)).to_string()
}

/// A page of a listing; with `next` there is more.
pub fn listing(keys: &[&str], next: Option<&str>) -> Reply {
    let mut entries = String::new();
    for key in keys {
        entries += &format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>\
             <Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>"
        );
    }
    let more = next
        .map_or_else(String::new, |token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    ok(
        "application/xml",
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name><Prefix></Prefix><KeyCount>{}</KeyCount>\
             <MaxKeys>1000</MaxKeys><IsTruncated>{}</IsTruncated>{more}{entries}</ListBucketResult>",
            keys.len(),
            next.is_some()
        ),
    )
}

/// What instance metadata and containers answer: credentials with the id `key`.
pub fn credentials_json(key: &str, expires: &str) -> String {
    format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","LastUpdated":"2026-01-01T00:00:00Z","AccessKeyId":"{key}",
        "SecretAccessKey":"secret-of-{key}","Token":"token-of-{key}","Expiration":"{expires}","RoleArn":"arn:aws:iam::1:role/r"}}"#
    )
}

/// A security token service: answers each request with credentials whose id is `key`.
pub fn sts(key: &'static str) -> Fake {
    Fake::start(move |request, _| {
        let action =
            if request.body.contains("WebIdentity") { "AssumeRoleWithWebIdentity" } else { "AssumeRole" };
        let expires = in_seconds(3600);
        ok(
            "text/xml",
            format!(
                "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><AssumedRoleUser>\
                 <AssumedRoleId>A:s</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser>\
                 <Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret-of-{key}</SecretAccessKey>\
                 <SessionToken>token-of-{key}</SessionToken><Expiration>{expires}</Expiration></Credentials>\
                 </{action}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
            ),
        )
    })
}

/// An instance's metadata service, version 2 only: each credential request gets the next of `keys`, the last for
/// ever, valid for `seconds`.
pub fn instance(keys: &'static [&'static str], seconds: u64) -> Fake {
    let given = Mutex::new(0);
    Fake::start(move |request, _| {
        let path = "/latest/meta-data/iam/security-credentials/";
        match (request.method.as_str(), request.target.as_str()) {
            ("PUT", "/latest/api/token") => Reply {
                headers: vec![("x-aws-ec2-metadata-token-ttl-seconds", "21600".into())],
                ..ok("text/plain", "imds-token")
            },
            _ if request.header("x-aws-ec2-metadata-token") != "imds-token" => status(401),
            (_, target) if target == path => ok("text/plain", "tier-role"),
            (_, target) if target == format!("{path}tier-role") => {
                let mut given = given.lock().unwrap();
                let key = keys[(*given).min(keys.len() - 1)];
                *given += 1;
                ok("application/json", credentials_json(key, &in_seconds(seconds)))
            }
            _ => status(404),
        }
    })
}
