//! `GET /metrics`: counters of the service and the freshness of the data, for Prometheus.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use kasparro_core::db::known_version;
use kasparro_core::store::run::{self, SourceRun, Tally};
use kasparro_core::store::version::{self, SourceState};
use kasparro_core::store::{lease, stats};

use crate::db::{Connection, Database, ReadError};
use crate::edge::Edge;
use crate::metrics::{Text, escape};
use crate::params;
use crate::problem::Problem;
use crate::snapshot::Snapshots;

/// How a run of a source ends when it was not left to another one.
const ENDINGS: [&str; 4] = ["succeeded", "failed", "cancelled", "abandoned"];

/// What the database says.
#[derive(Default)]
struct Etl {
    sources: Vec<Source>,
    /// Source, status, number.
    runs: Vec<(String, String, i64)>,
}

/// What the database says of one source.
struct Source {
    name: String,
    last_success: Option<DateTime<Utc>>,
    last_run: Option<SourceRun>,
    newest_observation: Option<DateTime<Utc>>,
    observations: i64,
    lease_expires: Option<DateTime<Utc>>,
}

/// Shows counters of the service and the freshness of the data, as Prometheus text.
pub(crate) async fn show(
    request: HttpRequest,
    database: web::Data<Database>,
    edge: web::Data<Edge>,
    snapshots: web::Data<Snapshots>,
) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    let mut text = Text::default();
    edge.metrics.render(&mut text);
    // Without the database the counters of the service are still worth having.
    let etl = database.read(read).await;
    database.render(&mut text);
    text.family("kasparro_db_up", "gauge", "Whether the database answers and its tables fit.");
    text.sample("kasparro_db_up", "", f64::from(u8::from(etl.is_ok())));
    etl.unwrap_or_default().render(&mut text);
    text.family(
        "kasparro_data_version_known",
        "gauge",
        "Whether the version of the data is known, so that answers can be kept.",
    );
    text.sample("kasparro_data_version_known", "", f64::from(u8::from(snapshots.is_version_known())));
    let (answers, bytes) = snapshots.kept();
    text.family("kasparro_cache_answers", "gauge", "Number of answers that are kept.");
    text.sample("kasparro_cache_answers", "", answers as f64);
    text.family("kasparro_cache_bytes", "gauge", "Memory that they occupy.");
    text.sample("kasparro_cache_bytes", "", bytes as f64);
    text.family("kasparro_build_info", "gauge", "Version of the program and of the tables that it needs.");
    let labels = format!("version=\"{}\",schema=\"{}\"", env!("CARGO_PKG_VERSION"), escape(&known_version()));
    text.sample("kasparro_build_info", &labels, 1.0);
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text.into_string()))
}

fn read(connection: &mut Connection) -> Result<Etl, ReadError> {
    let checkpoints = stats::checkpoints(connection)?;
    let mut etl = Etl { runs: run::counts(connection)?, ..Etl::default() };
    for source in version::sources(connection)?.into_iter().filter(SourceState::is_market) {
        let checkpoint = checkpoints.iter().find(|checkpoint| checkpoint.source == source.name);
        etl.sources.push(Source {
            last_success: stats::last_success(connection, &source.name)?,
            last_run: run::newest_ended(connection, &source.name)?,
            newest_observation: checkpoint.and_then(|checkpoint| checkpoint.last_processed_timestamp),
            observations: source.observations,
            lease_expires: lease::held(connection, &source.name)?.map(|lease| lease.expires_at),
            name: source.name,
        });
    }
    Ok(etl)
}

impl Etl {
    fn render(&self, text: &mut Text) {
        let mut gauge = |name: &str, help: &str, value: fn(&Source) -> Option<f64>| {
            text.family(name, "gauge", help);
            for source in &self.sources {
                if let Some(value) = value(source) {
                    text.sample(name, &source.label(), value);
                }
            }
        };
        gauge("kasparro_etl_last_success_timestamp_seconds", "End of the last successful load.", |source| {
            source.last_success.map(seconds)
        });
        gauge(
            "kasparro_etl_last_run_timestamp_seconds",
            "End of the last run, however it ended.",
            |source| source.last_run.as_ref()?.ended_at.map(seconds),
        );
        gauge("kasparro_etl_last_run_duration_seconds", "How long the last run took.", |source| {
            let run = source.last_run.as_ref()?;
            run.ended_at.map(|end| seconds(end) - seconds(run.started_at))
        });
        gauge(
            "kasparro_etl_lease_expires_timestamp_seconds",
            "When the lease of a run at work ends.",
            |source| source.lease_expires.map(seconds),
        );
        gauge(
            "kasparro_data_newest_observation_timestamp_seconds",
            "Newest time of an observation.",
            |source| source.newest_observation.map(seconds),
        );
        gauge("kasparro_data_observations", "Number of observations.", |source| {
            Some(source.observations as f64)
        });
        self.render_last_runs(text);
        text.family("kasparro_etl_runs_total", "counter", "Runs that ended, by how.");
        for (source, status, runs) in &self.runs {
            let labels = format!("source=\"{}\",status=\"{}\"", escape(source), escape(status));
            text.sample("kasparro_etl_runs_total", &labels, *runs as f64);
        }
    }

    fn render_last_runs(&self, text: &mut Text) {
        let last =
            || self.sources.iter().filter_map(|source| Some((source.label(), source.last_run.as_ref()?)));
        let name = "kasparro_etl_last_run_status";
        text.family(name, "gauge", "1 for how the last run ended, 0 for how it did not.");
        for (label, run) in last() {
            for ending in ENDINGS {
                let is = f64::from(u8::from(run.status == ending));
                text.sample(name, &format!("{label},status=\"{ending}\""), is);
            }
        }
        let name = "kasparro_etl_last_run_records";
        text.family(name, "gauge", "What became of the records of the last run.");
        for (label, run) in last() {
            for (outcome, records) in outcomes(&run.tally()) {
                text.sample(name, &format!("{label},outcome=\"{outcome}\""), records as f64);
            }
        }
    }
}

impl Source {
    fn label(&self) -> String {
        format!("source=\"{}\"", escape(&self.name))
    }
}

fn outcomes(tally: &Tally) -> [(&'static str, i64); 5] {
    [
        ("loaded", tally.loaded),
        ("restated", tally.restated),
        ("unchanged", tally.unchanged),
        ("duplicate", tally.duplicate),
        ("rejected", tally.rejected),
    ]
}

fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp_micros() as f64 / 1e6
}
