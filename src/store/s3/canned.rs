//! A function in the place of the network (feature `testing`): what a store makes of an answer, whatever the answer.
//!
//! It is what fuzzing needs: no socket, no server, no second thread, some thousand answers a second. An answer passes
//! through the same code as one from the wire, from the SDK's parsers on.

use super::http::HttpClients;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use std::{fmt, sync::Arc};

/// An answer that no service gave.
#[derive(Clone, Debug, Default)]
pub struct CannedAnswer {
    /// The HTTP status, 100 to 999.
    pub status: u16,
    /// Names and values. A header that HTTP does not allow ends the request with an error.
    pub headers: Vec<(String, String)>,
    /// All bytes behind the headers.
    pub body: Vec<u8>,
}

type Answer = dyn Fn(&str, &str) -> CannedAnswer + Send + Sync;

/// Answers each request, by its method and its URI.
#[derive(Clone)]
pub(super) struct Canned(Arc<Answer>);

impl fmt::Debug for Canned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canned")
    }
}

impl HttpClients {
    /// Clients that reach nothing: `answer` gets the method and the URI of each request.
    pub fn canned(answer: impl Fn(&str, &str) -> CannedAnswer + Send + Sync + 'static) -> HttpClients {
        let mut clients = HttpClients::default();
        clients.canned = Some(Canned(Arc::new(answer)));
        clients
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(response((self.0)(request.method(), request.uri())))
    }
}

fn response(answer: CannedAnswer) -> Result<HttpResponse, ConnectorError> {
    let mut builder = ::http::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        builder = builder.header(name, value);
    }
    let made = builder.body(SdkBody::from(answer.body)).map_err(|e| ConnectorError::user(e.into()))?;
    HttpResponse::try_from(made).map_err(|e| ConnectorError::user(e.into()))
}
