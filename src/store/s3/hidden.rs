//! What goes to a store or a proxy and must not come back in an error.
//!
//! Purpose: a store that repeats the request in its error, a proxy's page, a debugging server: what they say goes into
//! messages, since operators need it, and from there into logs and status.
//!
//! Invariant: of a secret that is on the wire no [`RUN`] characters in a row from its begin are shown: the access key's
//! id, the session token, the customer's encryption key, a proxy's password; as they are, percent-encoded, and in the
//! base64 in which a proxy is sent them. The secret key never leaves this process, so that nobody can repeat it.
//!
//! Trade-off: it is looked for in the finished text, so that nothing on the way there can be forgotten. A secret that is
//! shorter than [`RUN`] is found as a whole only from [`SHORTEST`] on: hiding `x` would hide most of the message.

use super::{http::Proxy, options::Sse};
use crate::error::Error;
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// So much of the begin of a secret gives it away, or is what a message that was cut has left of it.
const RUN: usize = 8;
/// The shortest secret that is looked for.
const SHORTEST: usize = 5;
/// What stands in a secret's place.
const HIDDEN: &str = "(hidden)";

/// Texts that are hidden. Only made where there is an error, so that nobody keeps copies of secrets.
#[derive(Default)]
pub(super) struct Hidden(Vec<String>);

impl Hidden {
    /// Hides `secret` as well.
    pub fn and(mut self, secret: &str) -> Self {
        if secret.len() >= SHORTEST {
            let encoded = |upper: bool| {
                let mut text = String::new();
                for &byte in secret.as_bytes() {
                    match byte {
                        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                            text.push(byte as char)
                        }
                        _ if upper => text += &format!("%{byte:02X}"),
                        _ => text += &format!("%{byte:02x}"),
                    }
                }
                text
            };
            self.0.extend([secret.to_owned(), encoded(true), encoded(false)]);
        }
        self
    }

    /// Hides what a proxy is sent.
    pub fn and_proxy(self, proxy: &Proxy) -> Self {
        match proxy {
            Proxy::None => self,
            Proxy::Url { url, .. } => self.and_login(url.reveal()),
            Proxy::Environment => {
                let names =
                    ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"];
                let urls = names.iter().filter_map(|name| std::env::var(name).ok());
                urls.fold(self, |hidden, url| hidden.and_login(&url))
            }
        }
    }

    /// Hides the key that goes along with each request.
    pub fn and_encryption(self, sse: &Sse) -> Self {
        match sse {
            Sse::Customer { key } => self.and(key.reveal()),
            _ => self,
        }
    }

    /// User and password of a URL.
    fn and_login(self, url: &str) -> Self {
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
        let Some((login, _)) = authority.rsplit_once('@') else { return self };
        let decoded = |text: &str| {
            let bytes = crate::store::open::percent_decoded("proxy", text).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let sent = BASE64_STANDARD.encode(format!("{}:{}", decoded(user), decoded(password)));
        self.and(password).and(&decoded(password)).and(sent.trim_end_matches('='))
    }

    /// The error without them.
    pub fn cleared(&self, error: Error) -> Error {
        error.map_texts(|text| self.clear(text))
    }

    /// The text without them.
    pub fn clear(&self, text: &str) -> String {
        let (mut clean, mut rest) = (String::new(), text);
        while let Some((at, len)) = self.first_in(rest) {
            clean += &rest[..at];
            clean += HIDDEN;
            rest = &rest[at + len..];
        }
        clean + rest
    }

    /// Where the first of them begins, and how long it is: what begins alike in two forms goes on as one of them.
    fn first_in(&self, text: &str) -> Option<(usize, usize)> {
        let at = self.0.iter().filter_map(|secret| text.find(begin(secret))).min()?;
        let there = &text[at..];
        let found = self.0.iter().filter(|secret| there.starts_with(begin(secret)));
        let same = |secret: &String| {
            let same = there.chars().zip(secret.chars()).take_while(|(a, b)| a == b);
            same.map(|(c, _)| c.len_utf8()).sum()
        };
        found.map(same).max().map(|len| (at, len))
    }
}

/// So much of a secret as gives it away.
fn begin(secret: &str) -> &str {
    secret.char_indices().nth(RUN).map_or(secret, |(end, _)| &secret[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Secret, error::Code};

    #[test]
    fn secrets_go_wherever_they_stand_and_however_much_of_them() {
        let hidden =
            Hidden::default().and("IQoJb3JpZ2luX2VjEA==").and("hunter2").and("x").and("ABCDEFGH/rest");
        for (said, shown) in [
            ("token IQoJb3JpZ2luX2VjEA== expired", "token (hidden) expired"),
            ("cut IQoJb3JpZ2… (Service", "cut (hidden)… (Service"),
            ("IQoJb3JpZ2luX2VjEA%3D%3D;IQoJb3JpZ2luX2VjEA%3d%3d", "(hidden);(hidden)"),
            ("ABCDEFGH%2Frest%3d ABCDEFGH/rest=", "(hidden)%3d (hidden)="),
            ("hunter2hunter2", "(hidden)(hidden)"),
            ("hunter and IQoJb3 are short, xxx is nothing", "hunter and IQoJb3 are short, xxx is nothing"),
            ("", ""),
        ] {
            assert_eq!(hidden.clear(said), shown);
        }
    }

    #[test]
    fn all_texts_of_an_error_are_cleaned_and_the_rest_stays() {
        let hidden = Hidden::default().and("hunter2-hunter2");
        let said = "a hunter2-hunter2";
        let error = hidden.cleared(Error::new(Code::Throttled, said).with_service(503, said, said, said));
        for text in [error.message(), error.service_code(), error.request_id(), error.extended_request_id()] {
            assert_eq!(text, "a (hidden)");
        }
        assert_eq!((error.code(), error.http_status(), error.retryable()), (Code::Throttled, 503, true));
    }

    #[test]
    fn what_a_proxy_is_sent_is_hidden_as_it_is_sent() {
        let url = Secret::new("http://user:hunter%402go@proxy:1");
        let hidden = Hidden::default().and_proxy(&Proxy::Url { url, except: String::new() });
        let sent = BASE64_STANDARD.encode("user:hunter@2go");
        assert_eq!(hidden.clear(&format!("Basic {sent}")), "Basic (hidden)");
        assert_eq!(hidden.clear("hunter%402go hunter@2go user proxy"), "(hidden) (hidden) user proxy");
    }
}
