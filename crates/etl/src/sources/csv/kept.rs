//! The layout of a file whose bytes are kept in the database, found again from its beginning.

use std::path::Path;

use super::head::{HEAD_BYTES, Head};
use super::layout::Layout;
use super::map::{CsvMap, Declared};
use crate::failure::{FailureKind, SourceError};

/// How many bytes of the beginning of a file settle its layout.
pub(crate) const BEGINNING_BYTES: usize = HEAD_BYTES;

/// The layout of a file from its beginning, at most [`BEGINNING_BYTES`], and what is declared about it today.
///
/// # Errors
/// [`FailureKind::Refused`] when they cannot be read without guessing.
pub(crate) fn layout_of(path: &str, beginning: &[u8], map: &CsvMap) -> Result<Layout, SourceError> {
    let refused = |reason: String| SourceError::new(FailureKind::Refused, format!("{path}: {reason}"));
    if beginning.is_empty() {
        return Err(refused("its beginning is not kept, so its columns are not known".to_owned()));
    }
    let undeclared = Declared::default();
    let declared = map.of(Path::new(path)).unwrap_or(&undeclared);
    let head = Head::read(beginning, beginning.len() < BEGINNING_BYTES, declared).map_err(refused)?;
    // What it leaves out was said when the file was read.
    Layout::of(&head, declared, &mut Vec::new()).map_err(refused)
}

impl Layout {
    /// Whether the rows carry a time.
    pub(crate) fn has_times(&self) -> bool {
        self.time.is_some()
    }
}
