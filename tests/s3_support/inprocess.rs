//! An S3 server in this process, on a port of its own, up in a millisecond: s3s speaks the protocol and checks
//! signatures, [`Flat`] keeps the objects.
//!
//! What it does not show (how services word their errors, redirect, throttle and forbid) is tested with scripted
//! answers and on real servers.

use super::flat::Flat;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use seglift::{
    config::Secret,
    store::{
        ObjectStore, OpenOptions, open,
        s3::{Env, S3Options},
    },
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, runtime::Runtime};

/// Credentials that the server knows.
pub const ACCESS: &str = "in-process";
/// Their secret.
pub const SECRET: &str = "in-process-secret";
/// Its one bucket.
pub const BUCKET: &str = "bucket";

/// A running server; stops when dropped.
pub struct Server {
    address: SocketAddr,
    /// The bucket, to look into and to plant objects in.
    pub bucket: Flat,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts a server with one empty bucket.
    pub fn start() -> Server {
        Server::start_behind(Front::default())
    }

    /// The same, with something in front of it.
    pub fn start_behind(front: Front) -> Server {
        let bucket = Flat::new(BUCKET);
        let mut service = S3ServiceBuilder::new(bucket.clone());
        service.set_auth(SimpleAuth::from_single(ACCESS, SECRET));
        let service = service.build();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, service, Arc::new(front), bucket.clone()));
        Server { address, bucket, runtime: Some(runtime) }
    }

    /// The server's URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The store below `prefix`.
    pub fn store(&self, prefix: &str) -> Arc<dyn ObjectStore> {
        open(&format!("s3://{BUCKET}/{prefix}"), &self.options()).unwrap()
    }

    /// How to open stores of this server.
    pub fn options(&self) -> OpenOptions {
        options(&self.endpoint(), ACCESS, SECRET)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What stands between a client and the server.
#[derive(Default)]
pub struct Front {
    /// May answer a request itself.
    pub answer: Option<Answerer>,
    /// Sent with every answer.
    pub headers: Vec<(&'static str, String)>,
}

/// Sees a request, as `METHOD /path?query`, and the bucket; gives status and body where it answers itself.
pub type Answerer = Box<dyn Fn(&str, &Flat) -> Option<(u16, String)> + Send + Sync>;

async fn serve(listener: TcpListener, service: S3Service, front: Arc<Front>, bucket: Flat) {
    while let Ok((socket, _)) = listener.accept().await {
        // Without it small answers wait 40 ms for an acknowledgement.
        let _ = socket.set_nodelay(true);
        let connection = Builder::new(TokioExecutor::new());
        let (service, front, bucket) = (service.clone(), front.clone(), bucket.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let line = format!("{} {}", request.method(), request.uri());
            let own = front.answer.as_ref().and_then(|answer| answer(&line, &bucket));
            let (service, front) = (service.clone(), front.clone());
            async move {
                let mut response = match own {
                    Some((status, body)) => {
                        // Whoever still sends hears of a closed connection, and of no answer.
                        let mut sent = s3s::Body::from(request.into_body());
                        let _ = sent.store_all_limited(16 << 20).await;
                        let response = Response::builder().status(status);
                        response.body(s3s::Body::from(body)).expect("status and body make an answer")
                    }
                    None => service.call(request.map(s3s::Body::from)).await?,
                };
                for (name, value) in &front.headers {
                    response.headers_mut().insert(*name, value.parse().expect("a header's value"));
                }
                Ok::<_, s3s::HttpError>(response)
            }
        });
        tokio::spawn(async move {
            let _ = connection.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

/// How to open stores at `endpoint` with these credentials.
pub fn options(endpoint: &str, access: &str, secret: &str) -> OpenOptions {
    let mut s3 = S3Options { endpoint: Some(endpoint.into()), ..S3Options::default() };
    s3.credentials.fixed = Some((Secret::new(access), Secret::new(secret)));
    OpenOptions { s3: Env { options: s3, ..Env::default() }, ..OpenOptions::default() }
}
