//! Bytes that pass unread, until they do not: for TLS, whose records nobody in between can change unnoticed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

/// A running tunnel; stops when dropped.
pub struct Tunnel {
    address: SocketAddr,
    /// Bytes that connections begun from now on bring down before they end; all of them at `u64::MAX`.
    most: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
    runtime: Option<Runtime>,
}

impl Tunnel {
    /// Starts a tunnel at a free port to `target` (`127.0.0.1:9000`).
    pub fn start(target: &str) -> Tunnel {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (most, cuts) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicU64::new(0)));
        let (target, limit, count) = (target.to_owned(), most.clone(), cuts.clone());
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let most = limit.load(Ordering::SeqCst);
                let (target, count) = (target.clone(), count.clone());
                tokio::spawn(async move {
                    let Ok(store) = TcpStream::connect(&target).await else { return };
                    if carry(client, store, most).await {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Tunnel { address, most, cuts, runtime: Some(runtime) }
    }

    /// Where it listens: host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Connections that are begun from now on end without a farewell after so many bytes of answers.
    pub fn cut_after(&self, bytes: u64) {
        self.most.store(bytes, Ordering::SeqCst);
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether it was cut.
async fn carry(mut client: TcpStream, mut store: TcpStream, most: u64) -> bool {
    let (mut from_client, mut to_client) = client.split();
    let (from_store, mut to_store) = store.split();
    let mut limited = from_store.take(most);
    let cut = tokio::select! {
        _ = copy(&mut limited, &mut to_client) => limited.limit() == 0,
        _ = copy(&mut from_client, &mut to_store) => false,
    };
    let _ = to_client.shutdown().await;
    cut
}
