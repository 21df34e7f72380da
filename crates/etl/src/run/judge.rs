//! What a run does last: looks for figures that cannot be true.

use std::time::Duration;

use kasparro_core::store::quality;

use super::Launch;
use crate::database;
use crate::signal::Cancel;

impl Launch {
    /// Checks the newest observations by the plausibility rules, when there are new ones. What was loaded stays loaded,
    /// whatever becomes of it: the next run with news checks all of them again.
    pub(super) fn judge(&mut self) {
        if self.run_id.is_none() || self.cancel.is_set() || !self.report.has_news() {
            return;
        }
        // Over a connection of its own: the control connection has leases to renew.
        let judged = database::connect(&self.database_url, Duration::ZERO, &Cancel::default())
            .and_then(|mut connection| quality::check(&mut connection).map_err(|e| database::failure(&e)));
        match judged {
            Ok(0) => {}
            Ok(found) => log::info!("{found} finding(s) of figures that cannot be true: GET /quality"),
            Err(error) => log::warn!("the plausibility rules were not checked: {error}"),
        }
    }
}
