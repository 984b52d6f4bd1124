//! Gets the bytes of a Java `.properties` file.
//! Gives its keys and values with the line of each; knows nothing of what they mean.
//!
//! The grammar is that of `java.util.Properties.load` (Java SE 8), because a file that Web Call Server
//! reads has to be read here: escapes in comments mean nothing, `\` at the very end of the file is
//! dropped, and a character beyond 16 bits is a pair of `\u` escapes.

use super::sources::Line;
use crate::media::{Error, ErrorKind, Result};

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// Reads UTF-8, with or without a byte order mark, as Web Call Server writes it; bytes that are not
/// UTF-8 are ISO 8859-1, Java's own encoding of such files.
///
/// # Errors
/// `InvalidConfig` with the line of a `\u` escape that is none, where Java refuses the file too.
pub(super) fn lines(bytes: &[u8]) -> Result<Vec<Line>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    };
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = Vec::new();
    let mut natural = (1..).zip(text.split('\n'));
    while let Some((number, first)) = natural.next() {
        let first = first.trim_start_matches(BLANKS);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = String::new();
        let mut part = first;
        while let Some(continued) = without_continuation(part) {
            logical.push_str(continued);
            part = natural.next().map_or("", |(_, next)| next.trim_start_matches(BLANKS));
        }
        logical.push_str(part);
        if logical.is_empty() {
            continue;
        }
        let (key, value) = split(&logical);
        let in_line = |error: Error| error.with("line", number);
        lines.push(Line {
            number,
            key: unescape(key).map_err(in_line)?,
            value: Some(unescape(value).map_err(in_line)?),
        });
    }
    Ok(lines)
}

/// A line without the `\` at its end, if that is not escaped itself: the next line goes on.
fn without_continuation(line: &str) -> Option<&str> {
    let backslashes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
    line.strip_suffix('\\').filter(|_| backslashes % 2 == 1)
}

/// The key ends at the first blank, `=` or `:` that is not escaped; one `=` or `:` and the blanks
/// around it stand between it and the value.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|letter: char| {
        let ends = !escaped && (BLANKS.contains(&letter) || matches!(letter, '=' | ':'));
        escaped = !escaped && letter == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(BLANKS);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(BLANKS))
}

fn unescape(text: &str) -> Result<String> {
    let wrong = |message: &str| Error::new(ErrorKind::InvalidConfig, "read a .properties file", message);
    // Java's strings are UTF-16, and an escape is one unit of it.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        let plain = match letter {
            '\\' => match rest.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    let (digits, after) = rest.as_str().split_at_checked(4).unwrap_or_default();
                    let hexadecimal = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                    let unit = u16::from_str_radix(digits, 16).ok().filter(|_| hexadecimal);
                    units.push(unit.ok_or_else(|| wrong("four hexadecimal digits have to follow \\u"))?);
                    rest = after.chars();
                    continue;
                }
                Some(other) => other,
                None => break,
            },
            plain => plain,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).map_err(|_| wrong("half of a surrogate pair stands alone"))
}

#[cfg(test)]
mod tests {
    use java_properties::{LineContent, PropertiesIter};
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(usize, String, String)> {
        let read = lines(text.as_bytes()).unwrap().into_iter();
        read.map(|line| (line.number, line.key, line.value.unwrap())).collect()
    }

    fn pair(number: usize, key: &str, value: &str) -> (usize, String, String) {
        (number, key.to_owned(), value.to_owned())
    }

    #[test]
    fn an_escape_in_a_comment_means_nothing() {
        let text = "# kept in C:\\users\\records\\\n ! \\u12\na=b\n";
        assert_eq!(read(text), [pair(3, "a", "b")]);
    }

    #[test]
    fn a_last_line_counts_however_it_ends() {
        for text in ["a=b", "a=b\n", "a=b\r\n", "a=b\r", "a=b\\", "a=b\\\n", "a=b\\\n  "] {
            assert_eq!(read(text), [pair(1, "a", "b")], "{text:?}");
        }
    }

    #[test]
    fn a_line_goes_on_after_a_backslash_that_is_not_escaped() {
        let text = "a=one,\\\r\n   two,\\\n#three\nb=c\\\\\nd=\\ e\n";
        let expected = [pair(1, "a", "one,two,#three"), pair(4, "b", "c\\"), pair(5, "d", " e")];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn every_separator_and_escape_of_the_format_is_read() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("  a : b c ", "a", "b c "),
            ("a\t\u{c}b", "a", "b"),
            ("a==b", "a", "=b"),
            ("a", "a", ""),
            ("a\\ b\\=\\:c=d", "a b=:c", "d"),
            ("a=\\t\\n\\r\\f\\q\\\\", "a", "\t\n\r\u{c}q\\"),
            ("a=\\u00e9\\uD83D\\uDE00", "a", "é\u{1f600}"),
            ("a=é\u{1f600}", "a", "é\u{1f600}"),
        ] {
            assert_eq!(read(text), [pair(1, key, value)], "{text:?}");
        }
        assert_eq!(lines(b"a=\xe9\x80").unwrap()[0].value.as_deref(), Some("é\u{80}"));
    }

    #[test]
    fn an_escape_that_is_none_is_refused_with_its_line() {
        for value in ["\\u12", "\\u+123", "\\u12é4", "\\uD83D", "\\uDE00\\uD83D"] {
            let error = lines(format!("a=b\n\nc={value}").as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains("line: 3"), "{error}");
        }
    }

    proptest! {
        /// The crate stumbles over escapes in comments, a `\` at the end and a line of nothing but one.
        #[test]
        fn an_independent_reader_agrees(
            text in proptest::collection::vec("[ab=: \t\u{c}\\\\é]{0,9}|[ \t]*[#!][ab= ]{0,4}", 0..9),
            ending in prop_oneof![Just("\n"), Just("\r"), Just("\r\n")],
        ) {
            prop_assume!(text.iter().all(|line| line.trim_start_matches(BLANKS) != "\\"));
            let text = text.join(ending) + ending + "z=1";
            let theirs: Vec<_> = PropertiesIter::new_with_encoding(text.as_bytes(), encoding_rs::UTF_8)
                .map(Result::unwrap)
                .filter_map(|line| match line.content() {
                    LineContent::KVPair(key, value) => Some(pair(line.line_number(), key, value)),
                    LineContent::Comment(_) => None,
                })
                .collect();
            prop_assert_eq!(read(&text), theirs, "{:?}", text);
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = lines(&bytes);
        }
    }
}
