//! The way to the service below HTTP: its name, its port, its certificate.
//!
//! A failed request says that it failed; here each step is made by itself, so that the line names the step. Where
//! a proxy may stand between, none of it proves anything and only a success is told.

use super::{
    super::{
        http,
        options::{Proxy, S3Options},
    },
    answer::Answer,
    state,
};
use crate::{
    error::{Code, Error, Result},
    store::doctor::{Finding, objects::shown},
};
use rustls::{CertificateError, ClientConfig, ClientConnection, ProtocolVersion, pki_types::ServerName};
use std::{
    env, io,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// What was seen on the way.
pub(super) struct Network {
    url: String,
    host: String,
    port: u16,
    tls: bool,
    proxied: bool,
    tcp: Result<(SocketAddr, Duration), (Error, &'static str)>,
    handshake: Option<Result<String, (Error, String)>>,
}

/// Looks at the way to `endpoint`.
pub(super) async fn look(endpoint: &str, options: &S3Options) -> Network {
    let (tls, authority) = match endpoint.split_once("://") {
        Some((scheme, rest)) => (scheme.eq_ignore_ascii_case("https"), rest),
        None => (true, endpoint),
    };
    let authority = authority.split('/').next().unwrap_or_default();
    let (host, port) = host_and_port(authority, if tls { 443 } else { 80 });
    let tcp = connect(&host, port, options.connect_timeout).await;
    let handshake = match (&tcp, tls) {
        (Ok((address, _)), true) => {
            let (host, address) = (host.clone(), *address);
            let (ca_file, limit) = (options.ca_file.clone(), options.connect_timeout);
            let work = move || shake_hands(&host, address, ca_file, limit);
            tokio::task::spawn_blocking(work).await.ok()
        }
        _ => None,
    };
    let proxied = may_be_proxied(&options.proxy, tls);
    Network { url: endpoint.to_owned(), host, port, tls, proxied, tcp, handshake }
}

impl Network {
    /// What is wrong on the way, if anything is, and why nothing else can be checked then.
    pub fn failure(&self) -> Option<(Finding, &'static str)> {
        if self.proxied {
            return None;
        }
        if let Err((error, remedy)) = &self.tcp {
            let finding = Finding::fail("endpoint", error).remedy(*remedy);
            return Some((finding, "the endpoint cannot be reached"));
        }
        match &self.handshake {
            Some(Err((error, remedy))) => {
                let finding = Finding::fail("tls", error).remedy(remedy.as_str());
                Some((finding, "there is no safe connection"))
            }
            _ => None,
        }
    }

    /// The line about the endpoint, with its answer where there is one.
    pub fn endpoint(&self, answer: Option<&Answer>) -> Finding {
        let way = match &self.tcp {
            Ok((address, took)) => format!("{}: {address} in {}", self.url, shown(*took)),
            Err(_) => format!("{}: through a proxy", self.url),
        };
        match answer {
            Some(answer) => Finding::ok("endpoint", format!("{way}; {}", answer.manner())),
            None => Finding::ok("endpoint", way),
        }
    }

    /// The line about TLS, where it did not fail.
    pub fn tls(&self) -> Finding {
        const CHECK: &str = "tls";
        match &self.handshake {
            Some(Ok(how)) => Finding::ok(CHECK, how),
            _ if self.tls => Finding::ok(CHECK, "through a proxy; the certificate was accepted"),
            _ if is_this_machine(&self.tcp, &self.host) => Finding::skipped(
                CHECK,
                "not checked, because the store is on this machine and the way plain HTTP",
            ),
            _ => Finding::warn(
                CHECK,
                format!(
                    "plain HTTP to port {} of {}: whoever is on the way reads along",
                    self.port, self.host
                ),
                "write https:// in s3.endpoint; for a certificate of your own authority set s3.ca.file",
            ),
        }
    }
}

fn is_this_machine(tcp: &Result<(SocketAddr, Duration), (Error, &'static str)>, host: &str) -> bool {
    match tcp {
        Ok((address, _)) => address.ip().is_loopback(),
        Err(_) => host == "localhost",
    }
}

/// Whether a proxy may be used for the endpoint. What exactly the variables exempt is the HTTP client's to say.
fn may_be_proxied(proxy: &Proxy, tls: bool) -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    match proxy {
        Proxy::None => false,
        Proxy::Url { .. } => true,
        Proxy::Environment if tls => {
            ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].into_iter().any(set)
        }
        Proxy::Environment => ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].into_iter().any(set),
    }
}

fn host_and_port(authority: &str, default: u16) -> (String, u16) {
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an address in brackets are its own.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(default)),
        _ => (authority, default),
    };
    (host.trim_start_matches('[').trim_end_matches(']').to_owned(), port)
}

async fn connect(
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<(SocketAddr, Duration), (Error, &'static str)> {
    let unavailable = |what: String, remedy| (state(Code::Unavailable, what), remedy);
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            let what = format!("the host {host} is not known: {error}");
            return Err(unavailable(
                what,
                "look at s3.endpoint and s3.region, and at the name server: getent hosts HOST",
            ));
        }
    };
    let mut last = None;
    for address in addresses {
        let begun = Instant::now();
        match tokio::time::timeout(limit, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok((address, begun.elapsed())),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let what = format!("nothing listens at {address} ({host})");
                last =
                    Some(unavailable(what, "is the service up, and are host and port of s3.endpoint right?"));
            }
            Ok(Err(error)) => {
                let what = format!("{address} ({host}) cannot be reached: {error}");
                last = Some(unavailable(what, "look at the network and its routes"));
            }
            Err(_) => {
                let what =
                    format!("{address} ({host}) did not answer within {}", humantime::format_duration(limit));
                let remedy = "packets get lost: look at firewalls and security groups on the way; s3.timeout.connect is the limit";
                last = Some((state(Code::TimedOut, what), remedy));
            }
        }
    }
    Err(last.unwrap_or_else(|| {
        let what = format!("the host {host} has no address");
        unavailable(what, "look at s3.endpoint and at the name server")
    }))
}

/// Connects with TLS; what was agreed, or what is wrong and what to do. Blocks.
fn shake_hands(
    host: &str,
    address: SocketAddr,
    ca_file: Option<PathBuf>,
    limit: Duration,
) -> Result<String, (Error, String)> {
    let broken = |error: &dyn std::fmt::Display| {
        let what = format!("TLS with {address} ({host}) failed: {error}");
        (state(Code::Unavailable, what), "look at the service's log and at what stands between".to_owned())
    };
    let roots = http::roots(ca_file.as_deref()).map_err(|error| (error, "correct s3.ca.file".into()))?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| broken(&error))?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(|error| broken(&error))?;
    let mut tcp = TcpStream::connect_timeout(&address, limit).map_err(|error| broken(&error))?;
    let timed = tcp.set_read_timeout(Some(limit)).and_then(|()| tcp.set_write_timeout(Some(limit)));
    timed.map_err(|error| broken(&error))?;
    while tls.is_handshaking() {
        if let Err(error) = tls.complete_io(&mut tcp) {
            return Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(reason) => {
                    let (what, remedy) = meaning(reason, host);
                    (state(Code::Unavailable, what), remedy)
                }
                None => broken(&error),
            });
        }
    }
    let version = match tls.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    Ok(format!("{version}; the certificate is for {host} and signed by somebody that this machine trusts"))
}

/// What a failed handshake means for whoever set up the service.
fn meaning(error: &rustls::Error, host: &str) -> (String, String) {
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    let text = error.to_string();
    match error {
        InvalidCertificate(CertificateError::UnknownIssuer) => (
            format!("the certificate of {host} is signed by nobody that this machine trusts"),
            "put the certificate of its signer into a PEM file and name it in s3.ca.file; see who signed it: \
             openssl s_client -connect HOST:PORT -showcerts"
                .into(),
        ),
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => (
            format!("the certificate of {host} has expired: {text}"),
            "renew it; or is this machine's clock wrong?".into(),
        ),
        InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => (
            format!("the certificate of {host} is not valid yet: {text}"),
            "set this machine's clock".into(),
        ),
        InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => (
            format!("the certificate is not for {host}: {text}"),
            "write a name that it is for into s3.endpoint, or have one issued for this name".into(),
        ),
        InvalidCertificate(_) if text.contains("CaUsedAsEndEntity") => (
            format!("{host} shows the certificate of an authority as its own, which TLS does not allow"),
            "sign a certificate for the service with that authority, and name the authority's in s3.ca.file".into(),
        ),
        InvalidCertificate(_) => (
            format!("the certificate of {host} is not accepted: {text}"),
            "look at it: openssl s_client -connect HOST:PORT -showcerts".into(),
        ),
        InvalidMessage(_) => (
            format!("{host} does not speak TLS at this port: {text}"),
            "write http:// in s3.endpoint, or another port".into(),
        ),
        _ => (
            format!("TLS with {host} failed: {text}"),
            "look at the service's log; seglift speaks TLS 1.2 and 1.3".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart_in_all_spellings() {
        for (authority, host, port) in [
            ("minio.example", "minio.example", 443),
            ("minio.example:9000", "minio.example", 9000),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[::1]:9000", "::1", 9000),
            ("[::1]", "::1", 443),
        ] {
            assert_eq!(host_and_port(authority, 443), (host.to_owned(), port), "{authority}");
        }
    }

    #[test]
    fn a_certificate_problem_is_named_with_its_remedy() {
        let bad = |error| meaning(&rustls::Error::InvalidCertificate(error), "h");
        for (error, what, remedy) in [
            (CertificateError::UnknownIssuer, "trusts", "s3.ca.file"),
            (CertificateError::Expired, "expired", "clock"),
            (CertificateError::NotValidYet, "not valid yet", "clock"),
            (CertificateError::NotValidForName, "not for h", "s3.endpoint"),
            (CertificateError::Revoked, "not accepted", "openssl"),
        ] {
            let (said, told) = bad(error);
            assert!(said.contains(what) && told.contains(remedy), "{said}: {told}");
        }
    }

    #[test]
    fn a_port_where_nobody_listens_and_a_host_that_nobody_knows_are_two_things() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let refused = runtime.block_on(connect("127.0.0.1", free, Duration::from_secs(5))).unwrap_err();
        assert!(refused.0.message().contains("nothing listens"), "{}", refused.0);
        let unknown =
            runtime.block_on(connect("no-such-host.invalid", 1, Duration::from_secs(5))).unwrap_err();
        assert!(unknown.0.message().contains("is not known"), "{}", unknown.0);
    }
}
