//! Whether an answer in XML has arrived whole.
//!
//! The SDK's parser takes the end of the text, and a character that XML does not have, for the end of the list
//! that it is reading. So a listing that was cut short would be a short listing, and `<Code>NoSuchKey` a missing
//! object. What is not well-formed to its last tag must not count.

use xmlparser::{ElementEnd, Token, Tokenizer};

/// Whether `body` is one XML element, whole and closed; nothing at all passes, too.
pub(super) fn is_well_formed(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let text = text.trim();
    let (mut depth, mut roots) = (0_usize, 0_usize);
    for token in Tokenizer::from(text) {
        match token {
            Ok(Token::ElementStart { .. }) => {
                roots += usize::from(depth == 0);
                depth += 1;
            }
            Ok(Token::ElementEnd { end: ElementEnd::Close(..) | ElementEnd::Empty, .. }) if depth > 0 => {
                depth -= 1
            }
            Ok(Token::ElementEnd { end: ElementEnd::Open, .. }) => {}
            Ok(Token::ElementEnd { .. }) | Err(_) => return false,
            Ok(_) => {}
        }
    }
    depth == 0 && (roots == 1 || text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_counts_as_whole_only_to_its_last_tag() {
        let whole = "<?xml version=\"1.0\"?>\n<L xmlns=\"x\"><K>a&amp;b</K><E/><!-- c --></L>\n";
        assert!(is_well_formed(whole.as_bytes()));
        let start = whole.find("<L").unwrap();
        for end in start + 1..whole.len() - 1 {
            assert!(!is_well_formed(&whole.as_bytes()[..end]), "{:?}", &whole[..end]);
        }
        assert!(is_well_formed(b"") && is_well_formed(b" \n"));
        for bad in ["text", "<a></a><b></b>", "</a>", "<a>\u{1}</a>", "{}"] {
            assert!(!is_well_formed(bad.as_bytes()), "{bad:?}");
        }
        assert!(!is_well_formed(b"<a>\xff</a>"));
    }
}
