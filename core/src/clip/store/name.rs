//! Gets the name of a recording and the stretch that is asked for.
//! Gives the clip's file name, `name-11-60.mp4`, and seconds out of text.

use std::time::Duration;

use crate::clip::ClipRequest;
use crate::media::{Container, Error, ErrorKind, Result};

/// Longest file name in bytes that file systems take, less those of the hidden note beside it.
const MAX_NAME_BYTES: usize = 255 - ".".len() - ".clip".len() - "-100".len();

/// The file name of a clip: `stem-11-60.mp4`, seconds with as many decimals as they need, `stem-0-60.mp4`
/// without a start, `stem-11-end.mp4` without an end, `stem-11-60-key.mp4` where all is shown from the
/// key frame on. A stem that would make the name too long is cut, and told apart by its CRC-32.
pub fn clip_name(stem: &str, request: &ClipRequest, container: Container) -> String {
    let start = seconds(request.start.unwrap_or_default());
    let end = request.end.map_or_else(|| "end".to_owned(), seconds);
    // The other containers begin with a key frame anyway.
    let key = if request.exact || container != Container::Mp4 {
        ""
    } else {
        "-key"
    };
    let tail = format!("-{start}-{end}{key}.{}", container.extension());
    let mut safe: String = stem
        .chars()
        .map(|c| {
            if c == '/' || c == '\\' || c.is_control() {
                '_'
            } else {
                c
            }
        })
        .collect();
    if safe.is_empty() || safe.starts_with('.') {
        safe.insert(0, '_');
    }
    let most = MAX_NAME_BYTES.saturating_sub(tail.len());
    if safe.len() > most {
        let mark = format!("~{:08x}", crc32fast::hash(stem.as_bytes()));
        let most = most.saturating_sub(mark.len());
        let cut = safe
            .char_indices()
            .map(|(at, c)| at + c.len_utf8())
            .take_while(|end| *end <= most)
            .last();
        safe.truncate(cut.unwrap_or(0));
        safe.push_str(&mark);
    }
    safe + &tail
}

/// `name` with a number before its extension, from 2 on.
pub(super) fn numbered(name: &str, number: u32) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) if number > 1 => format!("{stem}-{number}.{extension}"),
        _ => name.to_owned(),
    }
}

/// Seconds as short as they can be told: `11`, `0.04`.
fn seconds(duration: Duration) -> String {
    let whole = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    whole.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Seconds of a request's query: digits, and up to nine more behind a point.
///
/// # Errors
/// `InvalidArgument` with the context `field`.
pub fn parse_seconds(field: &'static str, text: &str) -> Result<Duration> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number =
        |digits: &str, most: usize| digits.len() <= most && digits.bytes().all(|byte| byte.is_ascii_digit());
    let lacks_digits = whole.is_empty() || text.contains('.') && part.is_empty();
    let parsed = (!lacks_digits && is_number(whole, 9) && is_number(part, 9))
        .then(|| Some((whole.parse().ok()?, format!("{part:0<9}").parse().ok()?)))
        .flatten();
    match parsed {
        Some((seconds, nanoseconds)) => Ok(Duration::new(seconds, nanoseconds)),
        None => Err(Error::new(
            ErrorKind::InvalidArgument,
            "read a time",
            "seconds are digits, and up to nine more behind a point: `11` or `11.5`",
        )
        .with("field", field)),
    }
}
