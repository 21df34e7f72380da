//! `GET /lineage/{id}`: where the numbers of an observation come from.

mod fields;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use kasparro_core::Decimal;
use kasparro_core::store::layout::{self, Format, Layout};
use kasparro_core::store::lineage::{self, From, Lineage, Raw, Revision};
use kasparro_core::store::version::SourceState;
use kasparro_core::{raw, store::lineage::Written};
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use crate::answer::Rendered;
use crate::db::{Connection, ReadError};
use crate::observation::{Fields, Observation};
use crate::params::{self, MAX_TEXT_CHARS};
use crate::problem::{Code, Problem};
use crate::schemas;
use crate::snapshot::Snapshots;
use fields::{FieldLineage, Sent};

/// Where an observation comes from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineageBody {
    /// The observation as it is now.
    observation: Observation,
    /// Whether it is the newest observation of its coin.
    #[schema(example = true)]
    is_latest: bool,
    /// Id of the next observation of the coin; null when there is none.
    #[schema(example = json!(null))]
    next_observation: Option<String>,
    /// The launch and the batch that wrote these values.
    written_by: WrittenBy,
    /// The request, without secrets; null when the values come from a file, or the bytes were pruned.
    request: Option<RequestOrigin>,
    /// The file; null when the values come from a request, or the bytes were pruned.
    file: Option<FileOrigin>,
    /// The raw bytes; null when they were pruned.
    raw: Option<RawOrigin>,
    /// Each field: where it stood, what was sent, what is stored and by which rule. Empty when that cannot be told: the bytes
    /// were pruned, or were loaded by a version that did not note how it reads them.
    fields: Vec<FieldLineage>,
    /// What the observation said before its values were corrected, oldest first; empty when they never were.
    revisions: Vec<RevisionBody>,
}

/// The launch and the batch that wrote something.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WrittenBy {
    /// The launch: `GET /runs/{id}`.
    #[schema(example = "42")]
    run_id: String,
    /// When it began, UTC.
    #[schema(example = "2026-11-23T15:00:00Z")]
    run_started_at: DateTime<Utc>,
    /// Version of kasparro-etl that read the bytes.
    #[schema(example = "0.1.0")]
    program_version: String,
    /// Number of the batch within its source.
    #[schema(example = 7, minimum = 1)]
    batch_number: i64,
    /// When it was written, UTC.
    #[schema(example = "2026-11-23T15:00:03.512345Z")]
    created_at: DateTime<Utc>,
}

/// A request to a source.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestOrigin {
    /// Without secrets.
    #[schema(example = "https://api.coinpaprika.com/v1/tickers")]
    url: String,
    /// HTTP status of the answer.
    #[schema(example = 200)]
    status: i16,
    /// As sent.
    #[schema(example = "application/json")]
    content_type: Option<String>,
}

/// A part of a file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileOrigin {
    /// Absolute path on the machine of the loader.
    #[schema(example = "/data/prices.csv")]
    path: String,
    /// Which of the files that have stood under the path, from 1.
    #[schema(example = 1, minimum = 1)]
    generation: i32,
    /// Numbers of the first and the last line of the record, from 1; null when the bytes cannot be told apart.
    #[schema(example = json!([2, 2]))]
    lines: Option<[u64; 2]>,
    /// Offset of the first byte of the record in the file; null when the bytes cannot be told apart.
    #[schema(example = 61, minimum = 0)]
    byte_offset: Option<u64>,
}

/// Raw bytes that are kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RawOrigin {
    /// SHA-256 of all bytes of the body or part, as hexadecimal digits.
    #[schema(example = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9")]
    sha256: String,
    /// Number of bytes.
    #[schema(example = 2676331, minimum = 0)]
    bytes: usize,
    /// Records in them.
    #[schema(example = 3795, minimum = 0)]
    record_count: i32,
    /// When they came first, UTC.
    #[schema(example = "2026-11-23T15:00:02.1Z")]
    fetched_at: DateTime<Utc>,
    /// Number of the record in them, from 0.
    #[schema(example = 0, minimum = 0)]
    position: i32,
    /// The exact text of the record; null when the bytes cannot be told apart.
    #[schema(example = r#"{"id":"btc-bitcoin","quotes":{"USD":{"price":83880.715899371}}}"#)]
    fragment: Option<String>,
}

/// What an observation said before its values were corrected.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevisionBody {
    /// When these values were written, UTC.
    created_at: DateTime<Utc>,
    /// When others took their place, UTC.
    superseded_at: DateTime<Utc>,
    /// The launch that wrote them.
    #[schema(example = "41")]
    run_id: String,
    /// Name as sent.
    #[schema(example = "Bitcoin")]
    crypto_name: Option<String>,
    /// Symbol as sent.
    #[schema(example = "BTC")]
    symbol: Option<String>,
    /// US dollars per coin.
    #[schema(value_type = Option<f64>, example = json!(83880.715899371), minimum = 0)]
    price_usd: Option<Decimal>,
    /// US dollars.
    #[schema(value_type = Option<f64>, example = json!(1682768787979_i64), minimum = 0)]
    market_cap_usd: Option<Decimal>,
    /// US dollars traded in 24 hours.
    #[schema(value_type = Option<f64>, example = json!(62203548247.6599), minimum = 0)]
    volume_24h_usd: Option<Decimal>,
    /// Percent.
    #[schema(value_type = Option<f64>, example = json!(-2.35))]
    change_24h_percent: Option<Decimal>,
    /// Rank by market capitalisation, from 1.
    #[schema(example = 1, minimum = 1)]
    rank: Option<i32>,
    /// Coins.
    #[schema(value_type = Option<f64>, example = json!(null), minimum = 0)]
    circulating_supply: Option<Decimal>,
    /// Coins.
    #[schema(value_type = Option<f64>, example = json!(20061450), minimum = 0)]
    total_supply: Option<Decimal>,
    /// Coins.
    #[schema(value_type = Option<f64>, example = json!(21000000), minimum = 0)]
    max_supply: Option<Decimal>,
}

/// The parameter of the route.
struct Id;

impl IntoParams for Id {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = schemas::text(MAX_TEXT_CHARS);
        let id = schemas::segment("id", "`id` of an observation; opaque.", text);
        vec![id.example(Some(json!("58-1795454102000000"))).build()]
    }
}

/// Shows where an observation comes from: run, request or file, the exact raw record, and what became of each field.
#[utoipa::path(get, path = "/lineage/{id}", tag = "provenance", operation_id = "lineage", params(Id), responses(
    (status = 200, description = "Where it comes from.", body = LineageBody, headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn show(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
) -> Result<HttpResponse, Problem> {
    let id = params::path_text(&request, "id")?;
    params::none(&request)?;
    let canonical = json!(["lineage", id]).to_string();
    snapshots
        .data(&request, canonical, move |connection, known| {
            let found = match key(&id) {
                Some((coin_id, observed_at)) => lineage::find(connection, coin_id, observed_at)?,
                None => None,
            };
            let found =
                found.ok_or_else(|| Problem::new(Code::UnknownObservation, "no observation has this id"))?;
            Rendered::json(&body(connection, found, known)?)
        })
        .await
}

/// Coin and time, of an id as observations have it.
fn key(id: &str) -> Option<(i32, DateTime<Utc>)> {
    let (coin_id, micros) = id.split_once('-')?;
    let key = (coin_id.parse().ok()?, DateTime::from_timestamp_micros(micros.parse().ok()?)?);
    // One spelling only, and no time that the database cannot hold.
    let canonical = format!("{}-{}", key.0, key.1.timestamp_micros());
    (canonical == id && (1..=9999).contains(&chrono::Datelike::year(&key.1))).then_some(key)
}

fn body(
    connection: &mut Connection,
    found: Lineage,
    known: &[SourceState],
) -> Result<LineageBody, ReadError> {
    let Lineage { observation, written, raw, revisions } = found;
    let coin_id = observation.coin_id;
    let next = written.next_observed_at.map(|time| format!("{coin_id}-{}", time.timestamp_micros()));
    let created_at = observation.created_at;
    let mut origin = Origin::default();
    if let Some(raw) = raw {
        origin = trace(connection, &observation, &written, raw)?;
    }
    Ok(LineageBody {
        is_latest: written.is_latest,
        next_observation: next,
        written_by: WrittenBy {
            run_id: written.run_id.to_string(),
            run_started_at: written.run_started_at,
            program_version: written.program_version,
            batch_number: written.batch_number,
            created_at,
        },
        request: origin.request,
        file: origin.file,
        raw: origin.raw,
        fields: origin.fields,
        revisions: revisions.into_iter().map(RevisionBody::from).collect(),
        observation: Observation::of(observation, Fields::ALL, known),
    })
}

#[derive(Default)]
struct Origin {
    request: Option<RequestOrigin>,
    file: Option<FileOrigin>,
    raw: Option<RawOrigin>,
    fields: Vec<FieldLineage>,
}

/// Finds the record in the bytes, and the fields in the record.
fn trace(
    connection: &mut Connection,
    observation: &kasparro_core::store::listed::Observation,
    written: &Written,
    raw: Raw,
) -> Result<Origin, ReadError> {
    let Raw { sha256, record_count, fetched_at, bytes, from } = raw;
    let file_key = match &from {
        From::File { file_id, generation, .. } => Some((*file_id, *generation)),
        From::Request { .. } => None,
    };
    let layout = layout::find(connection, &observation.data_source, file_key)?;
    let fragment = cut(&bytes, &from, layout.as_ref(), written.position);
    let text = fragment.as_ref().map(|found| String::from_utf8_lossy(found.bytes).into_owned());
    let fields = match (&layout, &text) {
        (Some(layout), Some(text)) => fields::trace(layout, &Sent::of(layout, text), observation),
        _ => Vec::new(),
    };
    let mut origin = Origin { fields, ..Origin::default() };
    match from {
        From::Request { url, status, content_type } => {
            origin.request = Some(RequestOrigin { url, status, content_type });
        }
        From::File { path, generation, first_line, first_byte, .. } => {
            let absolute = |base: i64, offset: u64| u64::try_from(base).unwrap_or_default() + offset;
            origin.file = Some(FileOrigin {
                path,
                generation,
                lines: fragment.as_ref().map(|found| {
                    [found.lines.start(), found.lines.end()].map(|line| absolute(first_line, line - 1))
                }),
                byte_offset: fragment.as_ref().map(|found| absolute(first_byte, found.offset as u64)),
            });
        }
    }
    origin.raw = Some(RawOrigin {
        sha256: sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        bytes: bytes.len(),
        record_count,
        fetched_at,
        position: written.position,
        fragment: text,
    });
    Ok(origin)
}

/// The record within the bytes. A list of JSON needs no layout.
fn cut<'b>(
    bytes: &'b [u8],
    from: &From,
    layout: Option<&Layout>,
    position: i32,
) -> Option<raw::Fragment<'b>> {
    let position = usize::try_from(position).ok()?;
    match (from, layout.map(|layout| (layout.format, layout.delimiter))) {
        (From::File { first_byte, .. }, Some((Format::Csv, Some(delimiter)))) => {
            raw::record(bytes, u8::try_from(delimiter).ok()?, *first_byte == 0, position)
        }
        (From::File { .. }, _) => None,
        (From::Request { .. }, _) => raw::element(bytes, position),
    }
}

impl std::convert::From<Revision> for RevisionBody {
    fn from(row: Revision) -> Self {
        Self {
            created_at: row.created_at,
            superseded_at: row.superseded_at,
            run_id: row.run_id.to_string(),
            crypto_name: row.crypto_name,
            symbol: row.symbol,
            price_usd: row.price_usd,
            market_cap_usd: row.market_cap_usd,
            volume_24h_usd: row.volume_24h_usd,
            change_24h_percent: row.change_24h_percent,
            rank: row.rank,
            circulating_supply: row.circulating_supply,
            total_supply: row.total_supply,
            max_supply: row.max_supply,
        }
    }
}
