//! `check`: configuration, database and files, and what a schedule costs.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use kasparro_core::role;
use kasparro_core::store::call::{self, Used};
use kasparro_core::store::checkpoint::{self, Checkpoint};
use kasparro_core::store::run;
use kasparro_core::store::source;

use crate::age::{Age, in_words};
use crate::commands::{finish, ready};
use crate::database;
use crate::failure::{FailureKind, SourceError};
use crate::http::Ledger;
use crate::identity::{self, listing};
use crate::progress::grouped;
use crate::run::registration;
use crate::settings::Settings;
use crate::sources::csv;
use crate::status::shown;

/// Checks what can be checked without a call, and tells the calls of each source.
pub(crate) fn check(settings: &Settings, every: Option<Age>) -> u8 {
    let mut problems = Vec::new();
    let mut note = |checked: Result<(), SourceError>| problems.extend(checked.err());
    for name in &settings.sources {
        note(registration(name).and_then(|registration| (registration.open)(settings)).map(drop));
    }
    note(identity::check_links(settings.asset_links_path.as_deref()));
    let files = files(settings);
    let costs = ready_to_load(settings).and_then(|mut connection| costs(&mut connection, settings, every));
    match (costs, files) {
        (Ok(costs), Ok(files)) if problems.is_empty() => finish(|| Ok(good(settings) + &costs + &files)),
        (costs, files) => {
            problems.extend(files.err().into_iter().chain(costs.err()));
            problems.iter().for_each(|problem| log::error!("{problem}"));
            FailureKind::gravest(problems.iter().map(|problem| problem.kind))
                .map_or(0, FailureKind::exit_code)
        }
    }
}

fn good(settings: &Settings) -> String {
    format!(
        "the configuration is good; sources: {}; the database answers, its tables fit and can be loaded\n",
        settings.sources.join(", ")
    )
}

/// A line for each file, if files are read.
fn files(settings: &Settings) -> Result<String, SourceError> {
    if !settings.sources.iter().any(|name| name == csv::NAME) {
        return Ok(String::new());
    }
    csv::describe(&settings.csv_paths, &settings.csv_map)
}

/// A connection to a database that a run could load.
fn ready_to_load(settings: &Settings) -> Result<PgConnection, SourceError> {
    let mut connection = ready(settings)?;
    role::try_loading(&mut connection).map_err(|error| database::failure(&error))?;
    Ok(connection)
}

/// A line for each source that is asked.
fn costs(
    connection: &mut PgConnection,
    settings: &Settings,
    every: Option<Age>,
) -> Result<String, SourceError> {
    let facts = Facts::gather(connection, &settings.sources).map_err(|error| database::failure(&error))?;
    let mut text = String::new();
    for name in &settings.sources {
        let registration = registration(name)?;
        let records = facts.records.get(name).copied();
        if let Some(calls) = (registration.calls_per_run)(settings, records) {
            let estimate = Estimate {
                calls,
                is_bound: records.is_none(),
                ledger: (registration.policy)(settings).ledger,
                listing: facts.listing(settings, name),
            };
            text.push_str(&format!("{name:12} {}\n", estimate.words(&facts, name, every)));
        }
    }
    Ok(text)
}

/// What the database knows.
struct Facts {
    now: DateTime<Utc>,
    next_month: DateTime<Utc>,
    /// Records of the newest read of each source that came to its end.
    records: BTreeMap<String, u64>,
    used: Vec<Used>,
    checkpoints: Vec<Checkpoint>,
}

impl Facts {
    fn gather(connection: &mut PgConnection, sources: &[String]) -> QueryResult<Self> {
        let mut records = BTreeMap::new();
        for name in sources {
            let read = run::last_fresh_read(connection, name, i64::MAX)?;
            records.extend(read.and_then(|(_, read)| Some((name.clone(), u64::try_from(read).ok()?))));
        }
        Ok(Self {
            now: source::database_time(connection)?,
            next_month: call::next_month(connection)?,
            records,
            used: call::this_month(connection)?,
            checkpoints: checkpoint::all(connection)?,
        })
    }

    /// What the listing of a market source costs, if it is read.
    fn listing(&self, settings: &Settings, of: &str) -> Option<ListingCost> {
        let every = settings.listings_every?;
        let listing = listing::of_sources(&[of.to_owned()]).next()?;
        let point = self.checkpoints.iter().find(|point| point.source == listing.name);
        Some(ListingCost { every, calls: point.and_then(listing::calls) })
    }

    fn used(&self, source: &str, host: &str) -> i64 {
        self.used
            .iter()
            .find(|used| used.source == source && used.host == host)
            .map_or(0, |used| used.this_month)
    }
}

/// What a run of a source costs.
struct Estimate {
    calls: u64,
    /// It is the most that a run may make; nobody knows better before the first one.
    is_bound: bool,
    ledger: Option<Ledger>,
    listing: Option<ListingCost>,
}

/// What the listing of a source costs beside its prices.
struct ListingCost {
    every: TimeDelta,
    /// `None` before the first one: the vendor says then how many parts it has.
    calls: Option<u64>,
}

/// A month of schedules has 30 days.
const DAYS: f64 = 30.0;

impl Estimate {
    fn words(&self, facts: &Facts, source: &str, every: Option<Age>) -> String {
        let calls = i64::try_from(self.calls).unwrap_or(i64::MAX);
        let mut text = match (self.is_bound, calls) {
            (true, 2..) => format!("at most {} calls per run", grouped(calls)),
            (_, 1) => "1 call per run".to_owned(),
            _ => format!("{} calls per run", grouped(calls)),
        };
        if let Some(ListingCost { every, calls }) = &self.listing {
            let calls = calls.map_or_else(|| "some".to_owned(), |calls| grouped(calls as i64));
            text.push_str(&format!(" and {calls} for the listing of ids every {}", in_words(*every)));
        }
        let per_day = every.map(|every| self.per_day(every.0));
        if let Some(per_day) = per_day {
            let count = |calls: f64| grouped(calls.ceil() as i64);
            text.push_str(&format!(", {} per day, {} per month", count(per_day), count(per_day * DAYS)));
        }
        let Some(Ledger { host, quota }) = &self.ledger else {
            return text + "; not counted on this machine";
        };
        let used = facts.used(source, host);
        let Some(quota) = quota.map(i64::from) else {
            return format!("{text}; {} calls to {host} this month, no quota", grouped(used));
        };
        text.push_str(&format!("; {} of {} calls to {host} used this month", grouped(used), grouped(quota)));
        per_day.map_or(text.clone(), |per_day| text + &self.end(facts, quota - used, per_day))
    }

    /// Calls of a day whose runs begin so far apart. A listing is never read more often than there are runs.
    fn per_day(&self, every: TimeDelta) -> f64 {
        let runs = |every: TimeDelta| 86_400.0 / every.num_seconds().max(1) as f64;
        let listing = self
            .listing
            .as_ref()
            .map_or(0.0, |listing| listing.calls.unwrap_or(0) as f64 * runs(listing.every.max(every)));
        self.calls as f64 * runs(every) + listing
    }

    /// When the quota is used up.
    fn end(&self, facts: &Facts, left: i64, per_day: f64) -> String {
        let days = left.max(0) as f64 / per_day;
        let seconds = (days * 86_400.0).min(1e9) as i64;
        let end = facts.now + TimeDelta::seconds(seconds);
        let verdict = if end >= facts.next_month {
            "it lasts for this month".to_owned()
        } else {
            format!("it runs out at {} and renews at {}", shown(end), shown(facts.next_month))
        };
        let quota = self.ledger.as_ref().and_then(|ledger| ledger.quota).map_or(0.0, f64::from);
        let whole = if per_day * DAYS > quota {
            format!(", and a whole month lasts {:.1} days", quota / per_day)
        } else {
            String::new()
        };
        format!(": {verdict}{whole}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(calls: u64, every: Option<&str>, quota: Option<u32>, used: i64) -> String {
        let facts = Facts {
            now: "2026-11-23T12:00:00Z".parse().unwrap(),
            next_month: "2026-12-01T00:00:00Z".parse().unwrap(),
            records: BTreeMap::new(),
            checkpoints: Vec::new(),
            used: vec![Used { source: "s".into(), host: "h".into(), today: used, this_month: used }],
        };
        let ledger = Some(Ledger { host: "h".into(), quota });
        let every = every.map(|text| text.parse().unwrap());
        Estimate { calls, is_bound: false, ledger, listing: None }.words(&facts, "s", every)
    }

    #[test]
    fn listings_are_counted_too() {
        let listing = |calls| Some(ListingCost { every: TimeDelta::hours(24), calls });
        let estimate = |listing| Estimate { calls: 1, is_bound: false, ledger: None, listing };
        let facts = Facts {
            now: DateTime::UNIX_EPOCH,
            next_month: DateTime::UNIX_EPOCH,
            records: BTreeMap::new(),
            used: Vec::new(),
            checkpoints: Vec::new(),
        };
        let words =
            |calls, every: &str| estimate(listing(calls)).words(&facts, "s", Some(every.parse().unwrap()));
        assert_eq!(
            words(Some(80), "5m"),
            "1 call per run and 80 for the listing of ids every 24 h, 368 per day, 11,040 per month; not counted on this machine"
        );
        assert!(words(Some(80), "2d").contains(", 41 per day"), "{}", words(Some(80), "2d"));
        assert!(words(None, "5m").contains("and some for the listing"));
    }

    #[test]
    fn a_schedule_is_told_what_it_costs_and_when_it_ends() {
        assert_eq!(words(1, None, Some(20_000), 7), "1 call per run; 7 of 20,000 calls to h used this month");
        assert_eq!(
            words(1, Some("5m"), Some(20_000), 0),
            "1 call per run, 288 per day, 8,640 per month; 0 of 20,000 calls to h used this month: it lasts for this month"
        );
        assert_eq!(
            words(40, Some("1h"), Some(10_000), 9_040),
            "40 calls per run, 960 per day, 28,800 per month; 9,040 of 10,000 calls to h used this month: \
             it runs out at 2026-11-24T12:00:00Z and renews at 2026-12-01T00:00:00Z, and a whole month lasts 10.4 days"
        );
        assert_eq!(
            words(1, Some("1d"), None, 3),
            "1 call per run, 1 per day, 30 per month; 3 calls to h this month, no quota"
        );
    }
}
