//! `status`: for each source how its last run ended, how fresh it is, how far it is read and who is at it.

use chrono::{DateTime, SecondsFormat, Utc};
use diesel::{PgConnection, QueryResult};
use kasparro_core::log_line::escaped;
use kasparro_core::store::call::{self, Used};
use kasparro_core::store::checkpoint::{self, Checkpoint};
use kasparro_core::store::drift::{self, Drift};
use kasparro_core::store::lease::{self, Held};
use kasparro_core::store::run::{self, SourceRun};
use kasparro_core::store::run_log::{self, Launch, Wanted};
use kasparro_core::store::source::{self, Counters, LISTING, MARKET};
use serde_json::json;

use crate::age::in_words;
use crate::commands::{finish, ready};
use crate::database;
use crate::progress::{grouped, sentence};
use crate::settings::Settings;
use crate::sources;

/// Launches that are listed.
const RUNS: i64 = 5;

/// Prints the state of everything.
pub(crate) fn status(settings: &Settings, as_json: bool) -> u8 {
    finish(|| {
        let mut connection = ready(settings)?;
        let mut status = Status::gather(&mut connection).map_err(|error| database::failure(&error))?;
        status.sources.iter_mut().for_each(|source| source.quota = quota(settings, &source.counters.name));
        Ok(if as_json { format!("{}\n", status.json()) } else { status.text() })
    })
}

/// Calls that a source may make to its host in a calendar month.
fn quota(settings: &Settings, source: &str) -> Option<(String, u32)> {
    let ledger = (sources::find(source)?.policy)(settings).ledger?;
    Some((ledger.host, ledger.quota?))
}

struct Status {
    /// By the clock of the database.
    now: DateTime<Utc>,
    sources: Vec<SourceStatus>,
    runs: Vec<Launch>,
}

struct SourceStatus {
    counters: Counters,
    last_run: Option<SourceRun>,
    checkpoint: Option<Checkpoint>,
    lease: Option<Held>,
    calls: Vec<Used>,
    /// The host that is asked with today's settings, and the calls to it that a month may have.
    quota: Option<(String, u32)>,
    drifts: Vec<Drift>,
}

impl Status {
    fn gather(connection: &mut PgConnection) -> QueryResult<Self> {
        let now = source::database_time(connection)?;
        let mut checkpoints = checkpoint::all(connection)?;
        let calls = call::this_month(connection)?;
        let drifts = drift::all(connection)?;
        let mut sources = Vec::new();
        for counters in source::all(connection)? {
            let name = &counters.name;
            let checkpoint_at = checkpoints.iter().position(|point| point.source == *name);
            sources.push(SourceStatus {
                last_run: run::newest(connection, name)?,
                checkpoint: checkpoint_at.map(|at| checkpoints.swap_remove(at)),
                lease: lease::held(connection, name)?,
                drifts: drifts.iter().filter(|drift| drift.source == *name).cloned().collect(),
                quota: None,
                calls: calls.iter().filter(|used| used.source == *name).cloned().collect(),
                counters,
            });
        }
        let newest = Wanted { statuses: None, sources: None, before: None, limit: RUNS };
        Ok(Self { now, sources, runs: run_log::load(connection, &newest)? })
    }

    fn text(&self) -> String {
        if self.runs.is_empty() {
            return "no run yet: start one with `kasparro-etl`\n".to_owned();
        }
        let mut text = String::new();
        let width = self.sources.iter().map(|source| source.counters.name.len()).max().unwrap_or(0);
        let (markets, others): (Vec<_>, Vec<_>) =
            self.sources.iter().partition(|source| source.counters.kind == MARKET);
        for source in markets.into_iter().chain(others) {
            for (number, line) in source.lines(self.now).into_iter().enumerate() {
                let name = if number == 0 { source.counters.name.as_str() } else { "" };
                text.push_str(&format!("{name:width$} {}\n", escaped(&line)));
            }
        }
        text.push_str("last runs\n");
        for run in &self.runs {
            let ended = match (run.status.as_str(), run.ended_at) {
                (_, None) => "running".to_owned(),
                ("succeeded", Some(end)) => format!("success after {}", in_words(end - run.started_at)),
                ("failed", Some(end)) => format!("FAILED after {}", in_words(end - run.started_at)),
                (status, Some(end)) => format!("{status} after {}", in_words(end - run.started_at)),
            };
            text.push_str(&format!(
                "{:>12} {} {}: {ended}, {} records\n",
                run.run_id,
                shown(run.started_at),
                run.source,
                grouped(run.records_processed)
            ));
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "now": self.now,
            "sources": self.sources.iter().map(|source| source.json(self.now)).collect::<Vec<_>>(),
            "runs": self.runs,
        })
    }
}

impl SourceStatus {
    fn newest(&self) -> Option<DateTime<Utc>> {
        self.checkpoint.as_ref()?.last_processed_timestamp
    }

    /// The wish of the source, as long as it is of any meaning.
    fn not_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.checkpoint.as_ref()?.not_before.filter(|time| *time > now)
    }

    fn lines(&self, now: DateTime<Utc>) -> Vec<String> {
        let mut lines = match self.counters.kind.as_str() {
            MARKET => self.market_lines(now),
            _ => self.other_lines(now),
        };
        if let Some(time) = self.not_before(now) {
            lines.push(format!("not to be asked before {}", shown(time)));
        }
        if let Some(held) = &self.lease {
            lines.push(format!("being loaded by {}, lease until {}", held.owner, shown(held.expires_at)));
        }
        lines
    }

    /// A listing of ids, or the resolver: nothing that is observed.
    fn other_lines(&self, now: DateTime<Utc>) -> Vec<String> {
        let changed = self.counters.last_batch_at;
        let ago = changed.map(|time| format!("{} ago", in_words(now - time)));
        vec![match (self.counters.kind.as_str(), ago) {
            (LISTING, Some(ago)) => {
                let ids = self.checkpoint.as_ref().and_then(|point| point.cursor.get("ids")?.as_i64());
                format!("listing of {} ids and their addresses, read {ago}", grouped(ids.unwrap_or(0)))
            }
            (LISTING, None) => "listing of ids and addresses, not read yet".to_owned(),
            (_, Some(ago)) => format!("which coins are one: changed {ago}"),
            (_, None) => "which coins are one: never decided".to_owned(),
        }]
    }

    fn market_lines(&self, now: DateTime<Utc>) -> Vec<String> {
        let mut lines = Vec::new();
        match &self.last_run {
            None => lines.push("never run".to_owned()),
            Some(run) => {
                let age = in_words(now - run.ended_at.unwrap_or(run.started_at));
                lines.push(format!(
                    "{} {age} ago (run {}): {}",
                    run.status,
                    run.run_id,
                    sentence(&run.tally())
                ));
                lines.extend(run.error_message.iter().map(|message| format!("because {message}")));
            }
        }
        lines.push(match self.newest() {
            Some(time) => format!("newest observation {}, {} old", shown(time), in_words(now - time)),
            None => "no observation yet".to_owned(),
        });
        lines.push(format!(
            "{} observations of {} coins, {} raw records kept",
            grouped(self.counters.observations),
            grouped(self.counters.coins),
            grouped(self.counters.raw_records)
        ));
        if let Some(point) = self.checkpoint.as_ref().filter(|point| point.batch_number > 0) {
            let (batch, at) = (point.batch_number, shown(point.updated_at));
            lines.push(format!("checkpoint at batch {batch} of {at}: {}", point.cursor));
        }
        for Used { host, today, this_month, .. } in &self.calls {
            let quota = self.quota.as_ref().filter(|(asked, _)| asked == host);
            let of =
                quota.map(|(_, calls)| format!(" of {}", grouped(i64::from(*calls)))).unwrap_or_default();
            lines.push(format!(
                "{}{of} calls to {host} this month, {} today",
                grouped(*this_month),
                grouped(*today)
            ));
        }
        for drift in &self.drifts {
            let perhaps =
                drift.suggestion.as_ref().map(|now| format!(", may be {now} now")).unwrap_or_default();
            lines.push(format!(
                "format: {} field {}{perhaps}, such as {}, last seen {} ago",
                drift.kind,
                drift.field,
                brief(&drift.evidence),
                in_words(now - drift.last_seen_at)
            ));
        }
        lines
    }

    fn json(&self, now: DateTime<Utc>) -> serde_json::Value {
        json!({
            "source": self.counters.name,
            "kind": self.counters.kind,
            "coins": self.counters.coins,
            "observations": self.counters.observations,
            "raw_records": self.counters.raw_records,
            "last_batch_at": self.counters.last_batch_at,
            "last_run": self.last_run,
            "newest_observation": self.newest(),
            "newest_observation_age_seconds": self.newest().map(|time| (now - time).num_seconds()),
            "checkpoint": self.checkpoint.as_ref().map(|point| json!({
                "batch_number": point.batch_number,
                "last_processed_id": point.last_processed_id,
                "cursor": point.cursor,
                "updated_at": point.updated_at,
            })),
            "not_before": self.not_before(now),
            "lease": self.lease,
            "calls": self.calls,
            "monthly_quota": self.quota.as_ref().map(|(host, calls)| json!({ "host": host, "calls": calls })),
            "drift": self.drifts,
        })
    }
}

/// The beginning of what a source said, on one line and harmless to a terminal.
fn brief(text: &str) -> String {
    const MOST: usize = 60;
    let shown: String = text.chars().take(MOST).collect::<String>().escape_debug().to_string();
    let shown = shown.replace("\\\"", "\"");
    if text.chars().count() > MOST { shown + "…" } else { shown }
}

/// A time for people, to the second.
pub(crate) fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
