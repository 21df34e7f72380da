//! How a source ends early, and what that means for the launcher.

use chrono::{DateTime, Utc};

/// Why a source ended early.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct SourceError {
    pub(crate) kind: FailureKind,
    /// One sentence that names the thing and the way out, without secrets.
    pub(crate) message: String,
    /// The source asked not to be called before this time.
    pub(crate) not_before: Option<DateTime<Utc>>,
    /// The source answered well, and with nothing: whether that is a failure is for the operator to say.
    pub(crate) is_empty_list: bool,
}

impl SourceError {
    /// One failure that names all of several files; its kind is that of the first. `None` of none.
    pub(crate) fn joined(mut failures: Vec<Self>) -> Option<Self> {
        if failures.len() < 2 {
            return failures.pop();
        }
        let kind = failures.first()?.kind;
        let messages: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
        Some(Self::new(kind, format!("{} files failed: {}", messages.len(), messages.join("; "))))
    }

    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), not_before: None, is_empty_list: false }
    }
}

/// The classes of failure; each has a name in `etl_run_sources.failure_kind` and an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FailureKind {
    /// The source cannot be reached or answers with errors.
    Unavailable,
    /// The source asked to be left alone for longer than this run may wait.
    RateLimited,
    /// The source delivers something else than it promises; nothing of it was published.
    Refused,
    /// A file does not exist.
    Missing,
    /// A file exists and cannot be read.
    Io,
    /// The database is away, full, or another writer took over: try again later.
    Temporary,
    /// The command line asks for what there is not. Never the end of a source.
    Usage,
    /// A setting is wrong.
    Config,
    /// A signal ended the run.
    Cancelled,
}

/// Which failure decides the exit code when there are different ones: the one that a person must look at first.
const GRAVEST_FIRST: [FailureKind; 9] = [
    FailureKind::Usage,
    FailureKind::Config,
    FailureKind::Temporary,
    FailureKind::Refused,
    FailureKind::Io,
    FailureKind::Missing,
    FailureKind::Unavailable,
    FailureKind::RateLimited,
    FailureKind::Cancelled,
];

impl FailureKind {
    /// The gravest of several; `None` of none.
    pub(crate) fn gravest(kinds: impl Iterator<Item = Self>) -> Option<Self> {
        kinds.min_by_key(|kind| GRAVEST_FIRST.iter().position(|other| other == kind))
    }

    /// The name that is stored.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::Missing => "missing",
            Self::Io => "io",
            Self::Temporary => "temporary",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Cancelled => "cancelled",
        }
    }

    /// The exit code of a run whose worst failure this is (after sysexits.h; documented in the README).
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::Unavailable | Self::RateLimited => 69,
            Self::Refused => 65,
            Self::Missing => 66,
            Self::Io => 74,
            Self::Temporary => 75,
            Self::Config => 78,
            Self::Cancelled => 143,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_place() {
        let mut codes: Vec<_> = GRAVEST_FIRST.iter().map(|kind| kind.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), 9);
    }
}
