//! Gets a `Range` header and the length of a file.
//! Gives the byte ranges that are asked for (RFC 9110 section 14). Pure.

/// Most ranges of one answer. Players ask for one, PDF readers for a few.
const MAX_RANGES: usize = 16;

/// Some bytes of a file; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub(crate) first: u64,
    pub(crate) len: u64,
}

impl ByteRange {
    /// As `Content-Range` tells it.
    pub(crate) fn content_range(self, file_len: u64) -> String {
        let last = self.first + (self.len - 1);
        format!("bytes {}-{last}/{file_len}", self.first)
    }
}

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// The whole file: there is no such header, it is not understood, or it asks for more than the file
    /// in pieces.
    Whole,
    /// These, in the order of the header.
    Some(Vec<ByteRange>),
    /// Nothing that the file has: 416.
    Unsatisfiable,
}

/// Reads `bytes=0-499`, `bytes=500-`, `bytes=-500` and lists of these.
pub(crate) fn parse(header: &str, len: u64) -> Ranges {
    let Some((unit, list)) = header.split_once('=') else {
        return Ranges::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ranges::Whole;
    }
    let mut ranges = Vec::new();
    let mut count = 0;
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        count += 1;
        match one(item, len) {
            _ if count > MAX_RANGES => return Ranges::Whole,
            None => return Ranges::Whole,
            Some(None) => {}
            Some(Some(range)) => ranges.push(range),
        }
    }
    if count == 0 {
        return Ranges::Whole;
    }
    if ranges.is_empty() {
        return Ranges::Unsatisfiable;
    }
    // Overlapping ranges could ask for a file many times over.
    let asked = ranges.iter().try_fold(0_u64, |sum, range| sum.checked_add(range.len));
    if asked.is_none_or(|asked| asked > len) {
        return Ranges::Whole;
    }
    Ranges::Some(ranges)
}

/// `None` for what is no range, `Some(None)` for one that lies outside.
fn one(item: &str, len: u64) -> Option<Option<ByteRange>> {
    let (first, last) = item.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let suffix = number(last)?.min(len);
        return Some((suffix > 0).then(|| ByteRange {
            first: len - suffix,
            len: suffix,
        }));
    }
    let first = number(first)?;
    let end = match last {
        "" => len,
        last => {
            let last = number(last)?;
            if last < first {
                return None;
            }
            last.saturating_add(1).min(len)
        }
    };
    Some((first < len).then(|| ByteRange {
        first,
        len: end - first,
    }))
}

/// A number too large to be read lies outside of every file, which is all that matters of it.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(header: &str, len: u64) -> Vec<(u64, u64)> {
        match parse(header, len) {
            Ranges::Some(ranges) => ranges.into_iter().map(|range| (range.first, range.len)).collect(),
            other => panic!("{header}: {other:?}"),
        }
    }

    #[test]
    fn every_form_of_a_range_is_read() {
        assert_eq!(some("bytes=0-499", 1000), [(0, 500)]);
        assert_eq!(some("bytes=500-", 1000), [(500, 500)]);
        assert_eq!(some("bytes=-500", 1000), [(500, 500)]);
        assert_eq!(some("bytes=-5000", 1000), [(0, 1000)]);
        assert_eq!(some("bytes=999-5000", 1000), [(999, 1)]);
        assert_eq!(some("Bytes = 0-0, -1 ,,5-6", 1000), [(0, 1), (999, 1), (5, 2)]);
        assert_eq!(some("bytes=0-99999999999999999999999", 10), [(0, 10)]);
        assert_eq!(some("bytes=5-6,2000-", 1000), [(5, 2)]);
    }

    #[test]
    fn what_the_file_does_not_have_is_unsatisfiable() {
        for header in [
            "bytes=1000-",
            "bytes=1000-1001,5000-",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(parse(header, 1000), Ranges::Unsatisfiable, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Ranges::Unsatisfiable);
    }

    #[test]
    fn what_is_no_range_or_too_much_is_answered_with_the_whole() {
        let many = format!("bytes={}", "0-0,".repeat(17));
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=a-b",
            "bytes=5-2",
            "items=0-1",
            "bytes=+1-2",
            "bytes=--1",
            &many,
        ] {
            assert_eq!(parse(header, 1000), Ranges::Whole, "{header}");
        }
        assert_eq!(parse("bytes=0-,0-", 1000), Ranges::Whole);
    }

    proptest::proptest! {
        #[test]
        fn ranges_lie_inside_the_file_and_never_exceed_it(header in "bytes=[0-9,-]{0,24}", len in 0_u64..2000) {
            if let Ranges::Some(ranges) = parse(&header, len) {
                assert!(ranges.iter().all(|range| range.len > 0 && range.first + range.len <= len));
                assert!(ranges.iter().map(|range| range.len).sum::<u64>() <= len);
            }
        }
    }
}
