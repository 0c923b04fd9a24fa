//! Signature version 4, again: a request that loses one of its signed headers on the way would be refused by the store,
//! unless whoever takes it away signs anew.
//!
//! As in "Signature Calculations for the Authorization Header" of S3's API reference. The checksum of the payload is
//! what the request says, `UNSIGNED-PAYLOAD` mostly.

use super::http::Head;
use sha2::{Digest, Sha256};

/// An access key's id is in the request; this is what belongs to it. Empty: nothing is signed anew.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub secret: String,
}

/// Takes a header out of a request, and signs what is left.
pub fn without(head: &mut Head, name: &str, keys: &Keys) {
    if !head.remove(name) || keys.secret.is_empty() {
        return;
    }
    let told = head.header("authorization").to_owned();
    let field = |name: &str| {
        let at = told.find(name).map(|at| at + name.len());
        at.map(|at| told[at..].split([',', ' ']).next().unwrap_or("").to_owned()).unwrap_or_default()
    };
    let (credential, names) = (field("Credential="), field("SignedHeaders="));
    let Some((_, scope)) = credential.split_once('/') else { return };
    let names: Vec<&str> = names.split(';').filter(|n| !n.eq_ignore_ascii_case(name)).collect();

    let (path, query) = head.word(1).split_once('?').unwrap_or((head.word(1), ""));
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    pairs.sort();
    let headers: String = names.iter().map(|name| format!("{name}:{}\n", head.header(name))).collect();
    let request = format!(
        "{}\n{path}\n{}\n{headers}\n{}\n{}",
        head.word(0),
        pairs.join("&"),
        names.join(";"),
        head.header("x-amz-content-sha256")
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        head.header("x-amz-date"),
        hex(&Sha256::digest(request.as_bytes()))
    );
    let first = format!("AWS4{}", keys.secret).into_bytes();
    let key = scope.split('/').fold(first, |key, part| hmac(&key, part.as_bytes()));
    let signature = hex(&hmac(&key, text.as_bytes()));
    let signed = names.join(";");
    head.set(
        "authorization",
        &format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}"),
    );
}

/// RFC 2104, with SHA-256, whose blocks are 64 bytes long.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
