//! Gets the setting `record_rotation` and how a part stands.
//! Gives the decision whether the part is full. Pure: no clock, no file.

use super::report::PartEnd;
use crate::media::{Error, ErrorKind, Result};

/// Longest and largest part that may be asked for: a year, and 16 TiB, the largest file of ext4.
const MAX_SECONDS: u64 = 366 * 24 * 3600;
const MAX_BYTES: u64 = 16 << 40;

/// When a part is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RotationLimit {
    /// Never.
    #[default]
    Disabled,
    /// After so many milliseconds of media.
    Duration {
        /// Milliseconds.
        ms: i64,
    },
    /// When the finished file would have so many bytes.
    Size {
        /// Bytes.
        bytes: u64,
    },
}

/// How a part stands.
#[derive(Clone, Copy, Debug)]
pub struct PartFacts {
    /// Media in it, in milliseconds.
    pub elapsed_ms: i64,
    /// Bytes it would have if it were finished now.
    pub projected_bytes: u64,
    /// Whether the room reserved for its index is about to run out.
    pub index_nearly_full: bool,
    /// Whether the host asked for a new part.
    pub requested: bool,
}

impl RotationLimit {
    /// What is allowed, for messages.
    pub const ALLOWED: &'static str =
        "disabled, a duration (10 or 10s, 5m, 1h) or a size (10M, 1G; M is 1024*1024 bytes)";

    /// Reads `disabled`, `10`, `10s`, `5m`, `1h`, `10M` or `1G`. Case tells minutes from megabytes.
    ///
    /// # Errors
    /// `InvalidArgument` saying what is allowed.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let wrong = || {
            Error::new(
                ErrorKind::InvalidArgument,
                "read a rotation",
                format!("allowed: {}", Self::ALLOWED),
            )
            .with("value", text)
        };
        if text.eq_ignore_ascii_case("disabled") {
            return Ok(Self::Disabled);
        }
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let duration = |unit_seconds: u64| {
            let seconds = number
                .checked_mul(unit_seconds)
                .filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
            let ms = seconds
                .and_then(|seconds| i64::try_from(seconds * 1000).ok())
                .ok_or_else(wrong)?;
            Ok(Self::Duration { ms })
        };
        let size = |unit_bytes: u64| {
            let bytes = number
                .checked_mul(unit_bytes)
                .filter(|bytes| (1..=MAX_BYTES).contains(bytes));
            bytes.map(|bytes| Self::Size { bytes }).ok_or_else(wrong)
        };
        match unit {
            "" | "s" => duration(1),
            "m" => duration(60),
            "h" => duration(3600),
            "M" => size(1 << 20),
            "G" => size(1 << 30),
            _ => Err(wrong()),
        }
    }

    /// Whether parts end by themselves.
    pub fn is_enabled(self) -> bool {
        self != Self::Disabled
    }
}

/// Why the part should end before the sample that can begin a new one, if it should.
///
/// A request comes first, then an index that runs out of room (with rotation disabled too: the file
/// would have to be copied otherwise), then the limit.
pub fn due(limit: RotationLimit, part: &PartFacts) -> Option<PartEnd> {
    if part.requested {
        return Some(PartEnd::RotationRequested);
    }
    if part.index_nearly_full {
        return Some(PartEnd::RotationIndexFull);
    }
    match limit {
        RotationLimit::Duration { ms } if part.elapsed_ms >= ms => Some(PartEnd::RotationDuration),
        RotationLimit::Size { bytes } if part.projected_bytes >= bytes => Some(PartEnd::RotationSize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRESH: PartFacts = PartFacts {
        elapsed_ms: 0,
        projected_bytes: 0,
        index_nearly_full: false,
        requested: false,
    };

    #[test]
    fn every_spelling_of_the_setting_is_read() {
        let read = |text| RotationLimit::parse(text).unwrap();
        assert_eq!(read("disabled"), RotationLimit::Disabled);
        assert_eq!(read("10"), RotationLimit::Duration { ms: 10_000 });
        assert_eq!(read("10s"), RotationLimit::Duration { ms: 10_000 });
        assert_eq!(read("5m"), RotationLimit::Duration { ms: 300_000 });
        assert_eq!(read("1h"), RotationLimit::Duration { ms: 3_600_000 });
        assert_eq!(
            read("10M"),
            RotationLimit::Size {
                bytes: 10 * 1024 * 1024
            }
        );
        assert_eq!(read(" 1G "), RotationLimit::Size { bytes: 1 << 30 });
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_is_allowed() {
        for text in [
            "",
            "0",
            "0M",
            "-1",
            "5 m",
            "1.5h",
            "10K",
            "10H",
            "99999999999999999999",
            "17592186044417M",
            "٣",
        ] {
            let error = RotationLimit::parse(text).unwrap_err();
            assert!(error.to_string().contains("10M, 1G"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_part_never_ends_before_its_limit_and_always_at_it(limit in 1_i64..1 << 40, over in 0_i64..1 << 40) {
            let by_time = RotationLimit::Duration { ms: limit };
            prop_assert_eq!(due(by_time, &PartFacts { elapsed_ms: limit - 1, ..FRESH }), None);
            prop_assert_eq!(
                due(by_time, &PartFacts { elapsed_ms: limit + over, ..FRESH }),
                Some(PartEnd::RotationDuration)
            );
            let by_size = RotationLimit::Size { bytes: limit.unsigned_abs() };
            prop_assert_eq!(due(by_size, &PartFacts { projected_bytes: limit.unsigned_abs() - 1, ..FRESH }), None);
            prop_assert_eq!(
                due(by_size, &PartFacts { projected_bytes: (limit + over).unsigned_abs(), ..FRESH }),
                Some(PartEnd::RotationSize)
            );
            prop_assert_eq!(due(RotationLimit::Disabled, &PartFacts { elapsed_ms: limit, ..FRESH }), None);
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = RotationLimit::parse(&text);
        }
    }
}
