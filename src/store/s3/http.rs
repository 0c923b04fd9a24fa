//! Connections that all stores of an engine share.
//!
//! Purpose: hundreds of drivers to one service use one pool of connections and read the machine's certificates
//! once. Stores that differ in certificates or proxy have pools of their own.
//!
//! Invariants: a request over plain HTTP costs no TLS set-up; certificates are read when the first request needs
//! them, by a thread that may block; credentials of the machine (instance, container) are never asked for through
//! a proxy.
//!
//! Trade-off: the SDK's own client loads the certificates for each client it makes, and panics on a bad one. So
//! the choice of a connector is ours, thirty lines, and the connectors are the SDK's.

use crate::{
    config::Secret,
    error::{Code, Error, Result},
};
use aws_smithy_http_client::{
    Connector, ConnectorBuilder,
    proxy::ProxyConfig,
    tls::{self, TlsContext, TrustStore},
};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use parking_lot::Mutex;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{
    collections::HashMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::OnceCell;

/// Through what requests go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Proxy {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// Nothing.
    None,
    /// A proxy for all requests.
    Url {
        /// Its URL, which may hold a user and a password.
        url: Secret,
        /// Hosts, domains and networks that are reached without it, separated by commas.
        except: String,
    },
}

impl Proxy {
    /// What the settings `s3.proxy` and `s3.no.proxy` mean.
    pub fn new(proxy: &Secret, except: &str) -> Proxy {
        match proxy.reveal() {
            "" => Proxy::Environment,
            none if none.eq_ignore_ascii_case("none") => Proxy::None,
            _ => Proxy::Url { url: proxy.clone(), except: except.to_owned() },
        }
    }

    fn config(&self) -> Result<ProxyConfig> {
        match self {
            Proxy::Environment => Ok(ProxyConfig::from_env()),
            Proxy::None => Ok(ProxyConfig::disabled()),
            Proxy::Url { url, except } => match ProxyConfig::all(url.reveal()) {
                Ok(config) => Ok(config.no_proxy(except)),
                // The reason may repeat the URL.
                Err(_) => Err(Error::new(
                    Code::InvalidConfig,
                    "s3.proxy=(hidden) is no URL such as http://proxy.example:3128; percent-encode what is special \
                     in its password",
                )),
            },
        }
    }
}

/// The HTTP clients of an engine, one for each set of certificates and proxy.
#[derive(Debug, Default)]
pub struct HttpClients {
    clients: Mutex<HashMap<Way, Arc<Shared>>>,
    /// Answers in the place of the network.
    #[cfg(feature = "testing")]
    pub(super) canned: Option<super::canned::Canned>,
}

/// What makes two clients different: a file of certificates, and a proxy.
type Way = (Option<PathBuf>, Proxy);

impl HttpClients {
    /// The client for these certificates (a PEM file; none for the system's alone) and this proxy. Reads no file.
    ///
    /// # Errors
    /// `INVALID_CONFIG` for a proxy that is no URL.
    pub(super) fn client(&self, ca_file: Option<&Path>, proxy: &Proxy) -> Result<Client> {
        let key = (ca_file.map(Path::to_owned), proxy.clone());
        if let Some(shared) = self.clients.lock().get(&key) {
            return Ok(Client(shared.clone()));
        }
        let config = proxy.config()?;
        let mut clients = self.clients.lock();
        let shared = clients.entry(key).or_insert_with(|| {
            Arc::new(Shared {
                ca_file: ca_file.map(Path::to_owned),
                proxy: config,
                trust: OnceCell::new(),
                routes: Mutex::default(),
                #[cfg(feature = "testing")]
                canned: self.canned.clone(),
            })
        });
        Ok(Client(shared.clone()))
    }
}

/// A handle on connections that others use, too.
#[derive(Clone, Debug)]
pub(super) struct Client(Arc<Shared>);

impl Client {
    /// Reads the certificates, so that a bad file is an error with its name before any request.
    ///
    /// # Errors
    /// `INVALID_CONFIG` names the file, or that the machine has no certificates.
    pub async fn prepare_tls(&self) -> Result<()> {
        self.0.trust().await.map(drop)
    }

    /// The same as the SDK takes it.
    pub fn shared(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }
}

/// Connect and read time-outs: the SDK wants connectors that differ in them.
type Timeouts = (Option<Duration>, Option<Duration>);

struct Shared {
    ca_file: Option<PathBuf>,
    proxy: ProxyConfig,
    trust: OnceCell<TlsContext>,
    routes: Mutex<HashMap<Timeouts, SharedHttpConnector>>,
    #[cfg(feature = "testing")]
    canned: Option<super::canned::Canned>,
}

impl fmt::Debug for Shared {
    /// Without the proxy, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("ca_file", &self.ca_file).finish_non_exhaustive()
    }
}

impl Shared {
    async fn trust(&self) -> Result<&TlsContext> {
        let load = || async {
            let file = self.ca_file.clone();
            let loaded = tokio::task::spawn_blocking(move || trust(file.as_deref())).await;
            loaded.unwrap_or_else(|e| {
                Err(Error::new(
                    Code::Internal,
                    format!("reading the certificates ended without a result: {e}"),
                ))
            })
        };
        self.trust.get_or_try_init(load).await
    }
}

impl HttpClient for Client {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        #[cfg(feature = "testing")]
        if let Some(canned) = &self.0.canned {
            return SharedHttpConnector::new(canned.clone());
        }
        let timeouts = (settings.connect_timeout(), settings.read_timeout());
        let mut routes = self.0.routes.lock();
        let route = routes.entry(timeouts).or_insert_with(|| {
            SharedHttpConnector::new(Route(Arc::new(Connectors {
                shared: self.0.clone(),
                settings: settings.clone(),
                plain: OnceLock::new(),
                direct: OnceLock::new(),
                tls: OnceCell::new(),
            })))
        });
        route.clone()
    }
}

/// Sends each request over the connector that its address needs.
#[derive(Clone, Debug)]
struct Route(Arc<Connectors>);

#[derive(Debug)]
struct Connectors {
    shared: Arc<Shared>,
    settings: HttpConnectorSettings,
    plain: OnceLock<Connector>,
    /// Plain, and never through a proxy.
    direct: OnceLock<Connector>,
    tls: OnceCell<Connector>,
}

impl HttpConnector for Route {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connectors = &self.0;
        let (scheme, rest) = request.uri().split_once("://").unwrap_or(("http", request.uri()));
        if !scheme.eq_ignore_ascii_case("https") {
            return match is_metadata(rest) {
                true => {
                    connectors.direct.get_or_init(|| connectors.builder(false).build_http()).call(request)
                }
                false => connectors.plain.get_or_init(|| connectors.builder(true).build_http()).call(request),
            };
        }
        if let Some(connector) = connectors.tls.get() {
            return connector.call(request);
        }
        let connectors = connectors.clone();
        HttpConnectorFuture::new(async move {
            let made = connectors.tls.get_or_try_init(|| connectors.make_tls()).await;
            made.map_err(|e| ConnectorError::user(e.into()))?.call(request).await
        })
    }
}

impl Connectors {
    fn builder(&self, with_proxy: bool) -> ConnectorBuilder {
        let mut builder = Connector::builder().connector_settings(self.settings.clone());
        builder.set_proxy_config(with_proxy.then(|| self.shared.proxy.clone()));
        builder
    }

    async fn make_tls(&self) -> Result<Connector> {
        let trust = self.shared.trust().await?.clone();
        let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        Ok(self.builder(true).tls_provider(provider).tls_context(trust).build())
    }
}

/// Whether an address (host, port and path) is one of those at which a cloud tells a machine its credentials:
/// link-local, so that no proxy could reach them.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
fn is_metadata(address: &str) -> bool {
    address.starts_with("169.254.") || address.starts_with("[fd00:ec2::") || address.starts_with("[fe80:")
}

/// The system's certificates, and those in `file`, as the SDK's client takes them.
fn trust(file: Option<&Path>) -> Result<TlsContext> {
    let Trusted { pem, system, .. } = trusted(file)?;
    let mut store = TrustStore::empty();
    if let Some(pem) = pem {
        store.add_pem_certificate(pem);
    }
    let context = TlsContext::builder().with_trust_store(store.with_native_roots(system)).build();
    context.map_err(|e| Error::new(Code::Internal, format!("no TLS context could be made: {e}")))
}

/// The system's certificates, and those in `file`, for a connection without the SDK. Blocks.
///
/// # Errors
/// `INVALID_CONFIG` names the file, or that the machine has no certificates.
pub(super) fn roots(file: Option<&Path>) -> Result<RootCertStore> {
    trusted(file).map(|trusted| trusted.parsed)
}

/// Whom to trust.
struct Trusted {
    /// All certificates.
    parsed: RootCertStore,
    /// What the file holds.
    pem: Option<Vec<u8>>,
    /// Whether the system has any.
    system: bool,
}

/// Each certificate is parsed once before the SDK's client, which panics on one that it cannot parse, gets them.
fn trusted(file: Option<&Path>) -> Result<Trusted> {
    let (mut parsed, mut all) = (RootCertStore::empty(), None);
    if let Some(file) = file {
        let pem = fs::read(file).map_err(|e| bad_file(file, &format!("cannot be read: {e}")))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let problem = || bad_file(file, "holds a certificate that cannot be parsed; it must be PEM");
            parsed.add(certificate.map_err(|_| problem())?).map_err(|_| problem())?;
        }
        if parsed.is_empty() {
            return Err(bad_file(file, "holds no certificate; it must be PEM, with BEGIN CERTIFICATE lines"));
        }
        all = Some(pem);
    }
    let system = rustls_native_certs::load_native_certs().certs;
    let (usable, _) = parsed.add_parsable_certificates(system);
    if usable == 0 && file.is_none() {
        return Err(Error::new(
            Code::InvalidConfig,
            "this machine has no certificates to trust, so no https: store can be reached; install its package \
             ca-certificates, or name a PEM file in s3.ca.file",
        ));
    }
    Ok(Trusted { parsed, pem: all, system: usable > 0 })
}

fn bad_file(file: &Path, problem: &str) -> Error {
    Error::new(
        Code::InvalidConfig,
        format!("the file of certificates {} (s3.ca.file) {problem}", file.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(file: &Path) -> String {
        let error = trust(Some(file)).expect_err("a bad file");
        assert_eq!(error.code(), Code::InvalidConfig);
        assert!(error.message().contains(&file.display().to_string()), "{error}");
        error.message().to_owned()
    }

    #[test]
    fn a_bad_file_of_certificates_is_an_error_that_names_it_and_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        assert!(refused(&file).contains("cannot be read"));
        fs::write(&file, "no certificate").unwrap();
        assert!(refused(&file).contains("BEGIN CERTIFICATE"));
        fs::write(&file, "-----BEGIN CERTIFICATE-----\nMIIB!!\n-----END CERTIFICATE-----\n").unwrap();
        assert!(refused(&file).contains("cannot be parsed"));
        fs::write(&file, "-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n").unwrap();
        assert!(refused(&file).contains("cannot be parsed"));
    }

    #[test]
    fn drivers_with_the_same_certificates_and_proxy_share_their_connections() {
        let clients = HttpClients::default();
        let get = |ca: Option<&str>, proxy: &Proxy| clients.client(ca.map(Path::new), proxy).unwrap().0;
        let none = Proxy::None;
        assert!(Arc::ptr_eq(&get(None, &none), &get(None, &none)));
        assert!(!Arc::ptr_eq(&get(None, &none), &get(Some("/ca.pem"), &none)));
        assert!(!Arc::ptr_eq(&get(None, &none), &get(None, &Proxy::Environment)));
    }

    #[test]
    fn a_proxy_that_is_no_url_is_refused_without_showing_its_password() {
        let proxy = Proxy::new(&Secret::new("http://user:hunter2@ho st:1"), "");
        let error = HttpClients::default().client(None, &proxy).unwrap_err();
        assert_eq!(error.code(), Code::InvalidConfig);
        let shown = format!("{error} {proxy:?}");
        assert!(shown.contains("s3.proxy") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn where_clouds_tell_credentials_no_proxy_is_asked() {
        for address in ["169.254.169.254/latest", "169.254.170.23:80/v1", "[fd00:ec2::254]/latest"] {
            assert!(is_metadata(address), "{address}");
        }
        for address in ["127.0.0.1:9000/b", "minio:9000", "10.169.254.1/", "s3.amazonaws.com"] {
            assert!(!is_metadata(address), "{address}");
        }
    }
}
