//! Gets app and stream names as publishers send them.
//! Gives the name and its query, percent-decoded.

use super::limits::MAX_NAME_BYTES;

/// A name and what stood behind its question mark.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
}

pub(super) fn is_too_long(name: &str) -> bool {
    name.len() > MAX_NAME_BYTES
}

/// Splits `name?key=value&flag`. The path stays as it is: encoders do not percent-encode it. A plus
/// sign stays one too, since tokens in Base64 have it.
pub(super) fn parse(name: &str) -> Name {
    let (path, query) = name.split_once('?').unwrap_or((name, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    Name {
        path: path.to_owned(),
        query: pairs
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (percent_decode(key), percent_decode(value))
            })
            .collect(),
    }
}

/// Decodes `%XX` (RFC 3986 section 2.1). What is no valid escape stays; bytes that are no UTF-8 are
/// replaced.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%'
            && let Some((&[high, low], tail)) = tail.split_first_chunk()
            && let (Some(high), Some(low)) = (hex_digit(high), hex_digit(low))
        {
            bytes.push(high << 4 | low);
            rest = tail;
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str) -> Vec<(String, String)> {
        parse(name).query
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn a_query_is_percent_decoded_in_order() {
        let name = parse("cam%201?record=true&login=J%C3%B6rg%20%26%20Co&token=a+b%2Fc==&flag&&room=1?2");
        assert_eq!(name.path, "cam%201");
        assert_eq!(
            name.query,
            [
                pair("record", "true"),
                pair("login", "Jörg & Co"),
                pair("token", "a+b/c=="),
                pair("flag", ""),
                pair("room", "1?2"),
            ]
        );
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(query("a?x=%"), [pair("x", "%")]);
        assert_eq!(query("a?x=%4"), [pair("x", "%4")]);
        assert_eq!(query("a?x=%zz%41"), [pair("x", "%zzA")]);
        assert_eq!(query("a?x=%ff"), [pair("x", "\u{FFFD}")]);
        assert_eq!(query("a"), []);
    }
}
