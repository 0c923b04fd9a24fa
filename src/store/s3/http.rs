//! Connections that all stores of an engine share.

use aws_smithy_http_client::{Builder, tls};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use once_cell::sync::OnceCell;

/// The HTTP clients of an engine.
#[derive(Debug, Default)]
pub struct HttpClients {
    one: OnceCell<SharedHttpClient>,
}

impl HttpClients {
    pub(super) fn client(&self) -> SharedHttpClient {
        let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        self.one.get_or_init(|| Builder::new().tls_provider(tls).build_https()).clone()
    }
}
