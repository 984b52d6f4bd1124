//! Gets a failure from the place that met it.
//! Gives an error with a kind of fixed number, the operation, the context and whether a retry can help.

use std::fmt;

/// The kinds of failure there are. Numbers and names are fixed: C returns the negated number,
/// Python and Node have a class or code for each name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum ErrorKind {
    /// An argument of a call is wrong.
    InvalidArgument = 1,
    /// One or several settings are wrong; the message lists all of them.
    InvalidConfig = 2,
    /// What the call names is not there.
    NotFound = 3,
    /// What the call would make is there already.
    AlreadyExists = 4,
    /// The call does not fit the state of the object (start of a started engine).
    InvalidState = 5,
    /// The call or format is known but not served.
    Unsupported = 6,
    /// A limit on input or memory was met; the message has both numbers.
    LimitExceeded = 7,
    /// Bytes that break their own format.
    Malformed = 8,
    /// The operating system refused an input or output.
    Io = 9,
    /// No space is left on the disk.
    DiskFull = 10,
    /// A time limit ran out.
    Timeout = 11,
    /// The other side, or a stop, ended it first.
    Cancelled = 12,
    /// Not allowed: by permissions, a token or an authorize callback.
    AccessDenied = 13,
    /// Cannot take more now; try again after a while.
    Busy = 14,
    /// The handle was made in another process, before a fork.
    Forked = 15,
    /// A fault of livereel itself; please report it.
    Internal = 16,
}

impl ErrorKind {
    /// Every kind, in the order of its number: the table that the bindings are tested against.
    pub const ALL: &'static [Self] = &[
        Self::InvalidArgument,
        Self::InvalidConfig,
        Self::NotFound,
        Self::AlreadyExists,
        Self::InvalidState,
        Self::Unsupported,
        Self::LimitExceeded,
        Self::Malformed,
        Self::Io,
        Self::DiskFull,
        Self::Timeout,
        Self::Cancelled,
        Self::AccessDenied,
        Self::Busy,
        Self::Forked,
        Self::Internal,
    ];

    /// The fixed number; C returns it negated.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The fixed name in snake case, as events and Node's `code` carry it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::InvalidConfig => "invalid_config",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::InvalidState => "invalid_state",
            Self::Unsupported => "unsupported",
            Self::LimitExceeded => "limit_exceeded",
            Self::Malformed => "malformed",
            Self::Io => "io",
            Self::DiskFull => "disk_full",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::AccessDenied => "access_denied",
            Self::Busy => "busy",
            Self::Forked => "forked",
            Self::Internal => "internal",
        }
    }
}

/// What every fallible call of livereel returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure: what was tried, what went wrong, and with which values.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    context: Vec<(&'static str, String)>,
    retry: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of `operation` (a verb and its object, "open the record folder").
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            message: message.into(),
            context: Vec::new(),
            retry: matches!(kind, ErrorKind::Busy | ErrorKind::Timeout),
            source: None,
        }))
    }

    /// A failed system call: the kind follows from the error number, the error stays as the source.
    pub fn io(operation: &'static str, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Os;
        let kind = match error.kind() {
            Os::StorageFull | Os::QuotaExceeded => ErrorKind::DiskFull,
            Os::NotFound => ErrorKind::NotFound,
            Os::AlreadyExists => ErrorKind::AlreadyExists,
            Os::PermissionDenied | Os::ReadOnlyFilesystem => ErrorKind::AccessDenied,
            Os::TimedOut => ErrorKind::Timeout,
            _ => ErrorKind::Io,
        };
        let mut wrapped = Self::new(kind, operation, error.to_string());
        wrapped.0.retry = matches!(error.kind(), Os::Interrupted | Os::WouldBlock | Os::TimedOut);
        wrapped.0.source = Some(Box::new(error));
        wrapped
    }

    /// The same error with one more named value in its text.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was tried.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What went wrong, without operation and context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The named values, in the order in which they were added.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn may_retry(&self) -> bool {
        self.0.retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.0.operation, self.0.message)?;
        for (index, (name, value)) in self.0.context.iter().enumerate() {
            write!(f, "{}{name}: {value}", if index == 0 { " (" } else { ", " })?;
        }
        if self.0.context.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_numbered_from_one_without_a_hole_and_named_once() {
        let mut names = std::collections::HashSet::new();
        for (index, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(kind.number(), index as i32 + 1);
            assert!(names.insert(kind.name()));
        }
    }

    #[test]
    fn an_error_prints_what_was_tried_what_went_wrong_and_the_values() {
        let error = Error::new(ErrorKind::Malformed, "read an AVC sequence header", "it is too short")
            .with("length_bytes", 3)
            .with("needed_bytes", 7);
        assert_eq!(
            error.to_string(),
            "cannot read an AVC sequence header: it is too short (length_bytes: 3, needed_bytes: 7)"
        );
        let full = Error::io("write", std::io::Error::from_raw_os_error(28));
        assert_eq!(full.kind(), ErrorKind::DiskFull);
    }
}
