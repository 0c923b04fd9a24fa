//! Notes with what status a service that hands out credentials answered.
//!
//! Purpose: whether asking again can help shows in that status, and the SDK keeps it in an error type of each
//! service's own. So each answer is looked at as it comes.
//!
//! Invariant: nothing but the status is looked at. Headers and bodies hold credentials.

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};
use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering::Relaxed},
};

/// What a service says that gets too many requests.
const TOO_MANY: u16 = 429;

/// An HTTP client that notes the status of the last answer. Clones share the note.
#[derive(Clone, Debug)]
pub(super) struct Noted {
    client: SharedHttpClient,
    /// 0 where no answer came.
    last: Arc<AtomicU16>,
}

impl Noted {
    pub fn new(client: SharedHttpClient) -> Noted {
        Noted { client, last: Arc::default() }
    }

    /// The same as the SDK takes it.
    pub fn shared(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }

    /// Forgets the last answer, before somebody else is asked.
    pub fn forget(&self) {
        self.last.store(0, Relaxed);
    }

    /// Whether the last answer was the service's own trouble.
    pub fn is_in_trouble(&self) -> bool {
        self.last.load(Relaxed) >= 500
    }

    /// Whether the last answer asked for fewer requests.
    pub fn is_throttled(&self) -> bool {
        self.last.load(Relaxed) == TOO_MANY
    }
}

impl HttpClient for Noted {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.client.http_connector(settings, components);
        SharedHttpConnector::new(NotedConnector { connector, last: self.last.clone() })
    }
}

#[derive(Debug)]
struct NotedConnector {
    connector: SharedHttpConnector,
    last: Arc<AtomicU16>,
}

impl HttpConnector for NotedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, last) = (self.connector.call(request), self.last.clone());
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            last.store(answer.as_ref().map_or(0, |answer| answer.status().as_u16()), Relaxed);
            answer
        })
    }
}
