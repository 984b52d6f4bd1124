//! Gets the conditional headers of a request and the version of a file.
//! Gives whether it is sent, known already, or another by now (RFC 9110 section 13). Pure.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

use crate::storage::read::ReadFile;

/// What tells one version of a file from another.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// A strong entity tag with its quotes: finished files never change in place.
    pub(crate) etag: String,
    /// To the second, as HTTP dates are.
    pub(crate) modified: SystemTime,
}

/// What to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 200 or 206.
    Send,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

impl Version {
    pub(crate) fn of(file: &ReadFile) -> Self {
        let seconds = file.modified_ns / 1_000_000_000;
        Self {
            etag: format!("\"{:x}-{:x}-{:x}\"", file.inode, file.modified_ns, file.len_bytes),
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        }
    }

    /// In the order of RFC 9110 section 13.2.2.
    pub(crate) fn judge(&self, headers: &HeaderMap) -> Verdict {
        if headers.contains_key(header::IF_MATCH) {
            if !listed(headers, header::IF_MATCH, &self.etag, Comparison::Strong) {
                return Verdict::Failed;
            }
        } else if let Some(since) = date(headers, header::IF_UNMODIFIED_SINCE)
            && self.modified > since
        {
            return Verdict::Failed;
        }
        let known = if headers.contains_key(header::IF_NONE_MATCH) {
            lists(headers, header::IF_NONE_MATCH, &self.etag)
        } else {
            date(headers, header::IF_MODIFIED_SINCE).is_some_and(|since| self.modified <= since)
        };
        if known { Verdict::NotModified } else { Verdict::Send }
    }

    /// Whether `Range` counts: without `If-Range`, or where that names this version.
    pub(crate) fn range_applies(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::IF_RANGE) else {
            return true;
        };
        let Ok(value) = value.to_str() else { return false };
        if value.starts_with('"') {
            return value == self.etag;
        }
        httpdate::parse_http_date(value).is_ok_and(|date| date == self.modified)
    }
}

/// RFC 9110 section 8.8.3.2.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether the header `name` lists `etag`, or everything, by weak comparison.
pub(crate) fn lists(headers: &HeaderMap, name: HeaderName, etag: &str) -> bool {
    listed(headers, name, etag, Comparison::Weak)
}

fn listed(headers: &HeaderMap, name: HeaderName, etag: &str, comparison: Comparison) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| {
        let tag = match comparison {
            Comparison::Weak => tag.strip_prefix("W/").unwrap_or(tag),
            Comparison::Strong => tag,
        };
        tag == "*" || tag == etag
    })
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(pairs: &[(HeaderName, &str)]) -> Verdict {
        let version = Version {
            etag: "\"a-b-c\"".to_owned(),
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777),
        };
        let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        version.judge(&headers.collect())
    }

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    #[test]
    fn a_version_that_the_client_has_is_not_sent_again() {
        use header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
        for tags in ["\"a-b-c\"", "W/\"a-b-c\"", "*", "\"x\", \"a-b-c\""] {
            assert_eq!(judge(&[(IF_NONE_MATCH, tags)]), Verdict::NotModified, "{tags}");
        }
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, THEN)]), Verdict::NotModified);
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, BEFORE)]), Verdict::Send);
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, "yesterday")]), Verdict::Send);
        assert_eq!(
            judge(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, THEN)]),
            Verdict::Send
        );
    }

    #[test]
    fn a_version_that_the_client_does_not_expect_fails() {
        use header::{IF_MATCH, IF_UNMODIFIED_SINCE};
        assert_eq!(judge(&[(IF_MATCH, "\"x\"")]), Verdict::Failed);
        assert_eq!(judge(&[(IF_MATCH, "W/\"a-b-c\"")]), Verdict::Failed);
        assert_eq!(judge(&[(IF_MATCH, "*")]), Verdict::Send);
        assert_eq!(judge(&[(IF_UNMODIFIED_SINCE, BEFORE)]), Verdict::Failed);
        assert_eq!(judge(&[(IF_UNMODIFIED_SINCE, THEN)]), Verdict::Send);
    }
}
