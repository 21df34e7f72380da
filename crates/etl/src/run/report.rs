//! What a run came to: for the person, for the record and for the launcher.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::time::Duration;

use compact_str::CompactString;
use kasparro_core::log_line::escaped;
use kasparro_core::store::batch::RawKey;
use kasparro_core::store::reject::Settled;
use kasparro_core::store::run::Tally;
use serde_json::json;

use crate::failure::{FailureKind, SourceError};
use crate::identity::{self, NAME, Priced, Resolved, listing};
use crate::progress::sentence;

/// How a source ended.
pub(super) enum Ended {
    /// Read to its end.
    Done,
    /// Another run was at it.
    Skipped,
    /// Early.
    Failed(SourceError),
}

/// One source of the run.
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) ended: Ended,
    pub(super) tally: Tally,
    /// `None` when the source itself was read.
    pub(super) rewritten: Option<Rewritten>,
    /// Ids of the records, of a source whose reads have all that it prices.
    pub(super) priced: HashSet<CompactString>,
}

/// What reading kept bytes again has changed.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    /// The bytes that made a difference.
    pub(super) changed: Vec<RawKey>,
    settled: Settled,
}

impl Rewritten {
    pub(super) fn add(&mut self, tally: &Tally, settled: Settled, raw: RawKey) {
        if tally.loaded + tally.restated > 0 || settled != Settled::default() {
            self.changed.push(raw);
        }
        self.settled += settled;
    }

    fn words(&self) -> String {
        let parts = [
            (self.settled.resolved, "refused before and taken now"),
            (self.settled.refused, "refused now and not before"),
        ];
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("; {n} {words}")).collect()
    }
}

impl Outcome {
    pub(super) fn skipped(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ended: Ended::Skipped,
            tally: Tally::default(),
            rewritten: None,
            priced: HashSet::new(),
        }
    }

    pub(super) fn failure(&self) -> Option<&SourceError> {
        match &self.ended {
            Ended::Failed(error) => Some(error),
            Ended::Done | Ended::Skipped => None,
        }
    }

    /// Value of `etl_run_sources.status`.
    pub(super) fn status(&self) -> &'static str {
        match &self.ended {
            Ended::Done => "succeeded",
            Ended::Skipped => "skipped",
            Ended::Failed(error) if error.kind == FailureKind::Cancelled => "cancelled",
            Ended::Failed(_) => "failed",
        }
    }

    fn json(&self) -> serde_json::Value {
        let tally = &self.tally;
        json!({
            "source": self.name,
            "status": self.status(),
            "extracted": tally.extracted(),
            "loaded": tally.loaded,
            "restated": tally.restated,
            "unchanged": tally.unchanged,
            "duplicate": tally.duplicate,
            "rejected": tally.rejected,
            "resolved_rejects": self.rewritten.as_ref().map(|rewritten| rewritten.settled.resolved),
            "new_rejects": self.rewritten.as_ref().map(|rewritten| rewritten.settled.refused),
            "failure": self.failure().map(|error| json!({ "kind": error.kind.as_str(), "message": error.message })),
        })
    }

    fn line(&self) -> String {
        match &self.ended {
            Ended::Done => {
                sentence(&self.tally) + &self.rewritten.as_ref().map(Rewritten::words).unwrap_or_default()
            }
            Ended::Skipped => "skipped, another run is at it".to_owned(),
            Ended::Failed(error) if self.tally.extracted() == 0 => format!("FAILED: {error}"),
            Ended::Failed(error) => format!("{}, then FAILED: {error}", sentence(&self.tally)),
        }
    }
}

/// All sources of the run.
#[derive(Default)]
pub(super) struct Report {
    outcomes: Vec<Outcome>,
    /// `None` when there is no record of the run.
    run_id: Option<i64>,
    /// Nothing was written.
    dry_run: bool,
    /// What changes is written behind this.
    is_preview: bool,
    /// Why it did not even come to the sources.
    aborted: Option<SourceError>,
    /// The signal that ended the run early.
    pub(super) signal: Option<i32>,
    /// `None` when nothing was resolved.
    pub(super) resolved: Option<Resolved>,
    /// Why nothing was resolved, when it should have been.
    pub(super) unresolved: Option<SourceError>,
    /// The listings that were due.
    pub(super) listings: Vec<listing::Outcome>,
}

impl Report {
    pub(super) fn new(run_id: Option<i64>, dry_run: bool) -> Self {
        Self { run_id, dry_run, ..Self::default() }
    }

    /// Of a launch that ended before it came to the sources.
    pub(super) fn of_abort(error: SourceError, dry_run: bool) -> Self {
        Self { aborted: Some(error), ..Self::new(None, dry_run) }
    }

    /// Of a rehearsal that is followed by what it has found.
    pub(super) fn previewing(self) -> Self {
        Self { is_preview: true, ..self }
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// Whether an observation was written.
    pub(super) fn has_news(&self) -> bool {
        self.outcomes.iter().any(|outcome| outcome.tally.loaded + outcome.tally.restated > 0)
    }

    pub(super) fn len(&self) -> usize {
        self.outcomes.len()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.outcomes.iter().any(|outcome| outcome.name == name)
    }

    /// Whether no source was opened at all.
    pub(super) fn nothing_was_read(&self) -> bool {
        self.outcomes.iter().all(|outcome| matches!(outcome.ended, Ended::Skipped))
    }

    /// Names of the sources that were read to their end.
    pub(super) fn read_to_the_end(&self) -> Vec<String> {
        let done = self.outcomes.iter().filter(|outcome| matches!(outcome.ended, Ended::Done));
        done.map(|outcome| outcome.name.clone()).collect()
    }

    /// The ids of the complete reads, taken out.
    pub(super) fn priced(&mut self) -> Vec<Priced> {
        let done = self.outcomes.iter_mut().filter(|outcome| matches!(outcome.ended, Ended::Done));
        let done = done.filter(|outcome| !outcome.priced.is_empty());
        done.map(|outcome| Priced { source: outcome.name.clone(), ids: std::mem::take(&mut outcome.priced) })
            .collect()
    }

    /// The kept bytes that made a difference, by source.
    pub(super) fn changed(&self) -> BTreeMap<String, Vec<RawKey>> {
        let changed = |outcome: &Outcome| {
            let keys = &outcome.rewritten.as_ref()?.changed;
            (!keys.is_empty()).then(|| (outcome.name.clone(), keys.clone()))
        };
        self.outcomes.iter().filter_map(changed).collect()
    }

    fn failures(&self) -> impl Iterator<Item = (&str, &SourceError)> {
        self.outcomes.iter().filter_map(|outcome| Some((outcome.name.as_str(), outcome.failure()?)))
    }

    /// Whether nothing worse happened than that bytes were refused.
    pub(super) fn only_refused(&self) -> bool {
        let all_well = self.signal.is_none() && self.aborted.is_none();
        all_well && self.failures().all(|(_, error)| error.kind == FailureKind::Refused)
    }

    pub(super) fn success(&self) -> bool {
        let all_well = self.signal.is_none() && self.aborted.is_none() && self.unresolved.is_none();
        all_well && self.failures().next().is_none()
    }

    /// Value of `etl_runs.status`.
    pub(super) fn status(&self) -> &'static str {
        let failed = self.failures().count();
        match () {
            () if self.signal.is_some() => "cancelled",
            () if self.aborted.is_some() => "failed",
            () if failed == 0 && self.unresolved.is_some() => "partial",
            () if failed == 0 && !self.outcomes.is_empty() && self.nothing_was_read() => "skipped",
            () if failed == 0 => "succeeded",
            () if failed < self.outcomes.len() => "partial",
            () => "failed",
        }
    }

    /// A line per failed source; `None` when nothing failed.
    pub(super) fn message(&self) -> Option<String> {
        let aborted = self.aborted.iter().map(ToString::to_string);
        let unresolved = self.unresolved.iter().map(|error| format!("{NAME}: {error}"));
        let lines =
            aborted.chain(unresolved).chain(self.failures().map(|(name, error)| format!("{name}: {error}")));
        Some(lines.collect::<Vec<_>>().join("\n")).filter(|text| !text.is_empty())
    }

    pub(super) fn exit_code(&self) -> u8 {
        if let Some(signal) = self.signal {
            return u8::try_from(128 + signal).unwrap_or(u8::MAX);
        }
        if let Some(error) = &self.aborted {
            return error.kind.exit_code();
        }
        let gravest = FailureKind::gravest(self.failures().map(|(_, error)| error.kind));
        let unresolved = self.unresolved.as_ref().map_or(0, |error| error.kind.exit_code());
        gravest.map_or(unresolved, |kind| kind.exit_code())
    }

    /// The report on standard output: one JSON object, or a line per source and one sentence.
    pub(super) fn print(&self, took: Duration, as_json: bool) {
        let text = match () {
            () if as_json => format!("{}\n", self.json(took)),
            // The log has said it.
            () if self.aborted.is_some() => return,
            () => self.text(took),
        };
        // A closed or full standard output changes nothing about what was loaded.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    pub(super) fn json(&self, took: Duration) -> serde_json::Value {
        json!({
            "run_id": self.run_id,
            "dry_run": self.dry_run,
            "status": self.status(),
            "success": self.success(),
            "exit_code": self.exit_code(),
            "seconds": (took.as_secs_f64() * 1000.0).round() / 1000.0,
            "summary": self.summary(took),
            "error": self.message(),
            "assets": self.resolved,
            "listings": self.listings,
            "sources": self.outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
        })
    }

    fn text(&self, took: Duration) -> String {
        let mut text = String::new();
        for outcome in &self.outcomes {
            text.push_str(&format!("{:12} {}\n", outcome.name, escaped(&outcome.line())));
        }
        for listing in &self.listings {
            text.push_str(&format!("{:12} {}\n", "listing", escaped(&listing.to_string())));
        }
        match (&self.resolved, &self.unresolved) {
            (_, Some(error)) => text.push_str(&format!("{NAME:12} FAILED: {error}\n")),
            (Some(resolved), None) => text.push_str(&format!("{NAME:12} {}\n", identity::sentence(resolved))),
            (None, None) => {}
        }
        text + &self.summary(took) + "\n"
    }

    /// What happened, in one sentence.
    fn summary(&self, took: Duration) -> String {
        // Settings have made sure that a run has sources.
        if self.success() && self.outcomes.is_empty() {
            return "there is nothing to be read again".to_owned();
        }
        let mut all = Tally::default();
        self.outcomes.iter().for_each(|outcome| all += outcome.tally);
        let nothing_new = all.loaded == 0 && all.restated == 0;
        let verdict = match self.status() {
            "succeeded" if nothing_new => "nothing new".to_owned(),
            "succeeded" => sentence(&all),
            "partial" => match self.failures().count() {
                0 => format!(
                    "every source is loaded, which coins are one asset was not decided: {}",
                    sentence(&all)
                ),
                failed if self.dry_run => format!("{failed} source(s) failed, the rest: {}", sentence(&all)),
                failed => format!("{failed} source(s) failed, the rest is loaded: {}", sentence(&all)),
            },
            "skipped" => "another run is at it".to_owned(),
            "cancelled" if self.dry_run => format!("ended by a signal: {}", sentence(&all)),
            "cancelled" => format!("ended by a signal, what was committed stays: {}", sentence(&all)),
            _ if all.extracted() > 0 => format!("no source was read to its end: {}", sentence(&all)),
            _ => "nothing was loaded".to_owned(),
        };
        let seconds = took.as_secs_f64();
        let end = match self.dry_run {
            true if self.is_preview => "to be written: ",
            true => "dry run, nothing was written: ",
            false => "",
        };
        let word = if self.status() == "failed" { "FAILED after" } else { "done in" };
        format!("{word} {seconds:.1} s: {end}{verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kinds: &[Option<FailureKind>]) -> Report {
        let mut report = Report::default();
        for kind in kinds {
            let ended = kind.map_or(Ended::Done, |kind| Ended::Failed(SourceError::new(kind, "x")));
            report.add(Outcome {
                name: "a".into(),
                ended,
                tally: Tally::default(),
                rewritten: None,
                priced: HashSet::new(),
            });
        }
        report
    }

    #[test]
    fn the_gravest_failure_decides() {
        use FailureKind::*;
        assert_eq!(report(&[None, None]).exit_code(), 0);
        assert_eq!(report(&[None, Some(Unavailable)]).exit_code(), 69);
        assert_eq!(report(&[Some(Unavailable), Some(Missing)]).exit_code(), 66);
        assert_eq!(report(&[Some(Refused), Some(Temporary)]).exit_code(), 75);
        let mut cancelled = report(&[Some(Cancelled)]);
        cancelled.signal = Some(2);
        assert_eq!(cancelled.exit_code(), 130);
    }

    #[test]
    fn what_nothing_and_the_rest_were_is_told_as_it_was() {
        let said = |report: Report| report.summary(Duration::ZERO);
        assert_eq!(said(report(&[])), "there is nothing to be read again");
        let mut skipped = report(&[]);
        skipped.add(Outcome::skipped("a"));
        assert!(said(skipped).ends_with("another run is at it"));
        let mut undecided = report(&[None]);
        undecided.unresolved = Some(SourceError::new(FailureKind::Io, "x"));
        assert_eq!(
            said(undecided),
            "done in 0.0 s: every source is loaded, which coins are one asset was not decided: no records"
        );
        assert!(
            said(report(&[None, Some(FailureKind::Io)])).contains("1 source(s) failed, the rest is loaded")
        );
    }

    #[test]
    fn a_rehearsal_does_not_say_that_something_is_loaded() {
        let kinds = [None, Some(FailureKind::Io)];
        let dry = Report { dry_run: true, ..report(&kinds) };
        let words = "1 source(s) failed, the rest: no records";
        let said = format!("done in 0.0 s: dry run, nothing was written: {words}");
        assert_eq!(dry.summary(Duration::ZERO), said);
        assert_eq!(
            dry.previewing().summary(Duration::ZERO),
            format!("done in 0.0 s: to be written: {words}")
        );
        let cancelled = Report { dry_run: true, signal: Some(2), ..report(&kinds) };
        assert!(!cancelled.summary(Duration::ZERO).contains("committed"));
    }

    #[test]
    fn statuses() {
        assert_eq!(report(&[None]).status(), "succeeded");
        assert_eq!(report(&[None, Some(FailureKind::Io)]).status(), "partial");
        assert_eq!(report(&[Some(FailureKind::Io)]).status(), "failed");
    }
}
