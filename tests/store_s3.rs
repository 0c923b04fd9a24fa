//! The store of S3 keeps what every store promises, on a server in this process.

use seglift::store::conformance::*;

#[path = "s3_support/inprocess.rs"]
mod inprocess;

use inprocess::Server;

fn place() -> Place {
    let server = Server::start();
    Place {
        store: server.store("tier"),
        rubbish: Box::new(move || {
            let _ = &server;
            Vec::new()
        }),
    }
}

seglift::store_conformance!(place);
