//! Goes through the files: what one of them lacks does not stop the others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::vec;

use kasparro_core::store::csv_file::FileState;

use super::file::{FileReader, Opened, Plan};
use super::paths;
use crate::failure::{FailureKind, SourceError};
use crate::source::Extracted;

/// The steps of one extraction, in the order of the files; the failures of all of them are the last.
pub(super) struct Extractor<'s> {
    plan: Plan,
    files: vec::IntoIter<Result<PathBuf, SourceError>>,
    known: HashMap<&'s str, &'s FileState>,
    current: Option<FileReader>,
    failures: Vec<SourceError>,
    done: bool,
}

impl<'s> Extractor<'s> {
    pub(super) fn new(paths: &[PathBuf], known: &'s [FileState], plan: Plan) -> Self {
        let files = paths::files(paths);
        let found: Vec<&Path> = files.iter().flatten().map(PathBuf::as_path).collect();
        for pattern in plan.map.for_none_of(&found) {
            log::warn!("the CSV map has a section for {pattern:?}, and no file is of that name");
        }
        let files = files.into_iter();
        let known = known.iter().map(|state| (state.path.as_str(), state)).collect();
        Self { plan, files, known, current: None, failures: Vec::new(), done: false }
    }

    /// What the open file gives next, or what the next file gives first; `None` when another call is needed.
    fn step(&mut self) -> Result<Option<Extracted>, SourceError> {
        if let Some(reader) = &mut self.current {
            let extracted = reader.next(&self.plan);
            if !matches!(extracted, Ok(Some(_))) {
                self.current = None;
            }
            return extracted;
        }
        let Some(path) = self.files.next().transpose()? else {
            self.done = true;
            return Ok(None);
        };
        let known = path.to_str().and_then(|path| self.known.get(path)).copied();
        match FileReader::open(&path, known, &self.plan)? {
            Opened::Unchanged => Ok(None),
            Opened::NothingNew(state) => Ok(Some(Extracted::File(state))),
            Opened::Reading(reader) => {
                self.current = Some(*reader);
                Ok(None)
            }
        }
    }
}

impl Iterator for Extractor<'_> {
    type Item = Result<Extracted, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.step() {
                Ok(Some(extracted)) => return Some(Ok(extracted)),
                Ok(None) => {}
                Err(error) if error.kind == FailureKind::Cancelled => {
                    self.done = true;
                    return Some(Err(error));
                }
                Err(error) => self.failures.push(error),
            }
        }
        SourceError::joined(std::mem::take(&mut self.failures)).map(Err)
    }
}
