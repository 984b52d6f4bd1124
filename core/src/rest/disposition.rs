//! Gets the name of a file.
//! Gives the `Content-Disposition` that offers it under that name (RFC 6266, RFC 8187). Pure.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand in an extended value as it is: `attr-char` of RFC 8187 section 3.2.1.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The header's value. Nothing in a name can end it early.
pub(crate) fn header(attachment: bool, name: &str) -> HeaderValue {
    let kind = if attachment { "attachment" } else { "inline" };
    // Some agents decode percent signs of the plain form, others do not: it has none.
    let safe = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\' | '%' | '/');
    let plain: String = name.chars().map(|c| if safe(c) { c } else { '_' }).collect();
    let mut value = format!("{kind}; filename=\"{plain}\"");
    if plain != name {
        value.push_str("; filename*=UTF-8''");
        value.extend(utf8_percent_encode(name, ATTR_CHAR));
    }
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_others_than_ascii_are_told_twice() {
        assert_eq!(header(false, "a b.mp4"), "inline; filename=\"a b.mp4\"");
        assert_eq!(
            header(true, "Tür\"1\".mp4"),
            "attachment; filename=\"T_r_1_.mp4\"; filename*=UTF-8''T%C3%BCr%221%22.mp4"
        );
        let split = header(true, "a\r\nSet-Cookie: x=1.mp4");
        assert_eq!(
            split,
            "attachment; filename=\"a__Set-Cookie: x=1.mp4\"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x%3D1.mp4"
        );
    }
}
