//! What a run does when its sources are loaded: reads the listings that are due, and resolves which coins are one.

use super::Launch;
use crate::database;
use crate::failure::{FailureKind, SourceError};
use crate::identity::listing::{self, Reading};
use crate::identity::{self, Resolution};

impl Launch {
    /// Does both. What was loaded stays loaded, whatever becomes of it.
    pub(super) fn identify(&mut self) {
        let Some(run_id) = self.run_id else { return };
        if self.cancel.is_set() || self.report.nothing_was_read() {
            return;
        }
        match self.try_identify(run_id) {
            Ok(resolved) => self.report.resolved = resolved,
            // The next run decides.
            Err(error) if error.kind == FailureKind::Cancelled => {}
            Err(error) => {
                log::error!("{}: {error}", identity::NAME);
                self.report.unresolved = Some(error);
            }
        }
    }

    fn try_identify(&mut self, run_id: i64) -> Result<Option<identity::Resolved>, SourceError> {
        let mut connection =
            database::connect(&self.database_url, self.settings.database_wait, &self.cancel)?;
        // Bytes that are kept say nothing new about what the vendors list.
        if self.task.kept.is_none() {
            let reading = Reading {
                settings: &self.settings,
                database_url: &self.database_url,
                clock: self.clock,
                cancel: &self.cancel,
                run_id: Some(run_id),
            };
            for listing in listing::of_sources(&self.report.read_to_the_end()) {
                self.report.listings.extend(reading.read(&mut connection, listing));
            }
        }
        if self.cancel.is_set() {
            return Ok(None);
        }
        let resolution = Resolution {
            settings: &self.settings,
            database_url: &self.database_url,
            cancel: &self.cancel,
            run_id: Some(run_id),
        };
        identity::run(&mut connection, &resolution, &self.report.priced())
    }
}
