//! `GET /metrics`: counters of the service and the freshness of the data, for Prometheus.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use kasparro_core::db::known_version;
use kasparro_core::store::stats;
use kasparro_core::store::version::{self, SourceState};

use crate::db::{Connection, Database, ReadError};
use crate::edge::Edge;
use crate::metrics::{Text, escape};
use crate::params;
use crate::problem::Problem;
use crate::snapshot::Snapshots;

/// What the database says of one source.
struct SourceTimes {
    name: String,
    last_success: Option<DateTime<Utc>>,
    newest_observation: Option<DateTime<Utc>>,
    observations: i64,
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
    let sources = database.read(times).await;
    text.family("kasparro_db_up", "gauge", "Whether the database answers and its tables fit.");
    text.sample("kasparro_db_up", "", f64::from(u8::from(sources.is_ok())));
    render_sources(&sources.unwrap_or_default(), &mut text);
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

fn times(connection: &mut Connection) -> Result<Vec<SourceTimes>, ReadError> {
    let checkpoints = stats::checkpoints(connection)?;
    let mut all = Vec::new();
    for source in version::sources(connection)?.into_iter().filter(SourceState::is_market) {
        let checkpoint = checkpoints.iter().find(|checkpoint| checkpoint.source == source.name);
        all.push(SourceTimes {
            last_success: stats::last_success(connection, &source.name)?,
            newest_observation: checkpoint.and_then(|checkpoint| checkpoint.last_processed_timestamp),
            observations: source.observations,
            name: source.name,
        });
    }
    Ok(all)
}

fn render_sources(sources: &[SourceTimes], text: &mut Text) {
    let mut gauge = |name: &str, help: &str, value: fn(&SourceTimes) -> Option<f64>| {
        text.family(name, "gauge", help);
        for source in sources {
            if let Some(value) = value(source) {
                text.sample(name, &format!("source=\"{}\"", escape(&source.name)), value);
            }
        }
    };
    gauge("kasparro_etl_last_success_timestamp_seconds", "End of the last successful load.", |source| {
        source.last_success.map(seconds)
    });
    gauge("kasparro_data_newest_observation_timestamp_seconds", "Newest time of an observation.", |source| {
        source.newest_observation.map(seconds)
    });
    gauge("kasparro_data_observations", "Number of observations.", |source| Some(source.observations as f64));
}

fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp_micros() as f64 / 1e6
}
