//! The files that the paths given stand for, and how a file looks on disk.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kasparro_core::store::csv_file::FileState;

use crate::failure::{FailureKind, SourceError};

/// How a file looks on disk: what tells cheaply whether it is still the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Bytes.
    pub(super) size: u64,
    /// Nanoseconds since 1970, UTC.
    pub(super) modified_ns: i64,
    /// Device, inode, and when the system last noted a change of either content or attributes (ctime, nanoseconds), which
    /// nobody can set back.
    pub(super) inode: String,
}

impl Stat {
    /// What the system says of a regular file.
    ///
    /// # Errors
    /// [`FailureKind::Io`] for everything else: reading a pipe or a device may never end.
    pub(super) fn of(path: &Path, metadata: &Metadata) -> Result<Self, SourceError> {
        if !metadata.is_file() {
            let message =
                format!("{} is not a regular file; give a CSV file or a folder of them", path.display());
            return Err(SourceError::new(FailureKind::Io, message));
        }
        let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Ok(Self {
            size: metadata.len(),
            modified_ns: i64::try_from(modified).unwrap_or(i64::MAX),
            inode: format!(
                "{}:{}:{}.{:09}",
                metadata.dev(),
                metadata.ino(),
                metadata.ctime(),
                metadata.ctime_nsec()
            ),
        })
    }

    /// Whether the file still looks as it did when it was read to its end.
    pub(super) fn is_that_of(&self, state: &FileState) -> bool {
        i64::try_from(self.size) == Ok(state.size_bytes)
            && self.modified_ns == state.modified_ns
            && self.inode == state.inode
    }
}

/// Looks at a path without opening it.
///
/// # Errors
/// [`FailureKind::Missing`] or [`FailureKind::Io`].
pub(super) fn inspect(path: &Path) -> Result<Stat, SourceError> {
    let metadata = fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
    Stat::of(path, &metadata)
}

/// A failure of the system, as a failure of the source.
pub(super) fn cannot_read(path: &Path, error: &io::Error) -> SourceError {
    if error.kind() == io::ErrorKind::NotFound {
        let message =
            format!("{} does not exist; give an existing CSV file or a folder of them", path.display());
        return SourceError::new(FailureKind::Missing, message);
    }
    SourceError::new(FailureKind::Io, format!("{} cannot be read: {error}", path.display()))
}

/// The failure of a file that lost bytes which it had before it was read.
pub(super) fn shrunk(path: &Path) -> SourceError {
    let message =
        format!("{} became shorter while it was read; run again when it is written", path.display());
    SourceError::new(FailureKind::Io, message)
}

/// The files that the paths stand for, in their order, each once; a folder stands for the `*.csv` and `*.csv.gz` in it.
pub(super) fn files(paths: &[PathBuf]) -> Vec<Result<PathBuf, SourceError>> {
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    for path in paths {
        match files_of(path) {
            Ok(found) => files.extend(found.into_iter().filter(|file| seen.insert(file.clone())).map(Ok)),
            Err(error) => files.push(Err(error)),
        }
    }
    files
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    // Links are kept: behind the path of a mounted configuration another file may stand at every change.
    let path = std::path::absolute(path).map_err(|error| cannot_read(path, &error))?;
    if path.to_str().is_none() {
        let message = format!("{} is not UTF-8: give the file another name", path.display());
        return Err(SourceError::new(FailureKind::Io, message));
    }
    if !path.is_dir() {
        return Ok(vec![path]);
    }
    let entries = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut found: Vec<PathBuf> = entries
        .map_err(|error| cannot_read(&path, &error))?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|entry| is_visible_csv(entry) && !entry.is_dir())
        .collect();
    found.sort();
    if found.is_empty() {
        let message = format!("the folder {} holds no *.csv or *.csv.gz file", path.display());
        return Err(SourceError::new(FailureKind::Missing, message));
    }
    Ok(found)
}

fn is_visible_csv(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let is = |path: &Path, wanted| {
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
    };
    let unpacked = if is(path, "gz") { path.with_extension("") } else { path.to_owned() };
    !hidden && is(&unpacked, "csv")
}
