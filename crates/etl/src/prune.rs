//! `prune`: removes months of observations and raw bytes that are older than an age. Says what goes before it goes.

use std::collections::BTreeMap;
use std::io::Write;

use chrono::{DateTime, Datelike, NaiveTime, Utc};
use diesel::{Connection, PgConnection, QueryResult};
use kasparro_core::store::prune::{self, Month, Raw};
use kasparro_core::store::{lease, source};

use crate::cli::PruneArgs;
use crate::commands::{finish, ready};
use crate::database;
use crate::failure::{FailureKind, SourceError};
use crate::progress::grouped;
use crate::run::owner;
use crate::settings::Settings;

/// Bodies and chunks that are removed in one transaction.
const RAW_AT_ONCE: i64 = 200;

/// Removes what is old.
pub(crate) fn prune(settings: &Settings, arguments: &PruneArgs) -> u8 {
    finish(|| {
        let mut connection = ready(settings)?;
        let failed = |error| database::failure(&error);
        let plan = Plan::make(&mut connection, arguments).map_err(failed)?;
        if arguments.dry_run || plan.is_empty() {
            return Ok(plan.words("would be removed"));
        }
        // A closed or full standard output changes nothing about what goes.
        let _ = std::io::stdout().write_all(plan.words("will be removed").as_bytes());
        let leases = Leases::take(&mut connection, settings)?;
        let removed = plan.carry_out(&mut connection, &leases);
        leases.release(&mut connection);
        removed.map(|removed| removed.words("removed"))
    })
}

struct Plan {
    /// Raw bytes that came before this are old.
    before: DateTime<Utc>,
    /// So are observations before the beginning of its month.
    month_start: DateTime<Utc>,
    months: Vec<Month>,
    raw: Raw,
}

impl Plan {
    fn make(connection: &mut PgConnection, arguments: &PruneArgs) -> QueryResult<Self> {
        let before = source::database_time(connection)? - arguments.older_than.0;
        let day = before.date_naive();
        let month_start = day.with_day(1).unwrap_or(day).and_time(NaiveTime::MIN).and_utc();
        let months = prune::months(connection, before)?;
        let raw = prune::count_raw(connection, before, month_start)?;
        Ok(Self { before, month_start, months, raw })
    }

    fn is_empty(&self) -> bool {
        self.months.is_empty() && self.raw == Raw::default()
    }

    fn words(&self, what: &str) -> String {
        if self.is_empty() {
            return format!("nothing is older than {}\n", self.before.format("%Y-%m-%d"));
        }
        let mut text = String::new();
        for Month { month, removed, kept } in &self.months {
            text.push_str(&format!("{}: {} observations {what}", month.format("%Y-%m"), grouped(*removed)));
            if *kept > 0 {
                text.push_str(&format!(", {} stay, each the newest of its coin", grouped(*kept)));
            }
            text.push('\n');
        }
        let Raw { bodies, records } = self.raw;
        text.push_str(&format!(
            "raw: {} bodies and chunks with {} records {what}\n",
            grouped(bodies),
            grouped(records)
        ));
        text
    }

    /// A transaction per month and per few raw bodies, each under the leases.
    fn carry_out(&self, connection: &mut PgConnection, leases: &Leases) -> Result<Self, SourceError> {
        let mut done = Self { months: Vec::new(), raw: Raw::default(), ..*self };
        for month in &self.months {
            let removed = leases.within(connection, |connection| prune::month(connection, month.month))?;
            done.months.push(Month { removed, ..month.clone() });
        }
        loop {
            let raw = leases.within(connection, |connection| {
                prune::raw(connection, self.before, self.month_start, RAW_AT_ONCE)
            })?;
            done.raw += raw;
            if raw.bodies == 0 {
                return Ok(done);
            }
        }
    }
}

/// The leases of all sources: what a run knows of its coins must not change under it.
struct Leases<'s> {
    settings: &'s Settings,
    epochs: BTreeMap<String, i64>,
}

impl<'s> Leases<'s> {
    fn take(connection: &mut PgConnection, settings: &'s Settings) -> Result<Self, SourceError> {
        let failed = |error| database::failure(&error);
        let mut leases = Self { settings, epochs: BTreeMap::new() };
        for source in source::all(connection).map_err(failed)? {
            let taken = lease::acquire(connection, &source.name, &owner(), None, settings.lease);
            // The holder is in the middle of a long transaction: it lives.
            let taken = if taken.as_ref().is_err_and(database::is_lock_timeout) { Ok(None) } else { taken };
            match taken {
                Ok(Some(epoch)) => drop(leases.epochs.insert(source.name, epoch)),
                Ok(None) => {
                    leases.release(connection);
                    let message =
                        format!("{} is being loaded; nothing was removed, try again later", source.name);
                    return Err(SourceError::new(FailureKind::Temporary, message));
                }
                Err(error) => {
                    leases.release(connection);
                    return Err(database::failure(&error));
                }
            }
        }
        Ok(leases)
    }

    /// One transaction, in which nobody else writes.
    fn within<T>(
        &self,
        connection: &mut PgConnection,
        work: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T, SourceError> {
        let done = connection.transaction(|connection| {
            for (name, epoch) in &self.epochs {
                if !lease::prolong(connection, name, *epoch, self.settings.lease)? {
                    return Ok(None);
                }
            }
            work(connection).map(Some)
        });
        done.map_err(|error| database::failure(&error))?.ok_or_else(|| {
            SourceError::new(
                FailureKind::Temporary,
                "a run has taken a source over; what is left can be pruned later",
            )
        })
    }

    fn release(&self, connection: &mut PgConnection) {
        for (name, epoch) in &self.epochs {
            if let Err(error) = lease::release(connection, name, *epoch) {
                log::warn!("{name}: the lease was not given back: {}", database::failure(&error).message);
            }
        }
    }
}
