//! `GET /data`: observations by page.

use actix_web::{HttpRequest, HttpResponse, web};
use kasparro_core::store::latest::{self, CoinFilter};
use kasparro_core::store::page::{self, Order, PageQuery, Scope};
use kasparro_core::store::version::SourceState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Rendered;
use crate::cursor::Cursor;
use crate::db::{Connection, ReadError};
use crate::observation::Observation;
use crate::problem::Problem;
use crate::snapshot::Snapshots;
use crate::sources;

use super::query::{Direction, Query};

/// One page of observations.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DataPage {
    /// Number of observations that the filters leave, on all pages; exact.
    #[schema(example = 7301, minimum = 0)]
    total: i64,
    /// Number of the page, from 1.
    #[schema(example = 1, minimum = 1)]
    page: u64,
    /// Most rows of a page: the `limit`.
    #[schema(example = 10, minimum = 1, maximum = 100)]
    page_size: u32,
    /// The observations.
    data: Vec<Observation>,
    /// `cursor` of the next page; null when there is none.
    #[schema(example = "Jb1kW0mZ2kQxMCwx")]
    next_cursor: Option<String>,
}

/// Lists observations, newest written first unless told otherwise.
///
/// Pages go on by `next_cursor` (as deep as the data, at the price of the first page) or by `offset`. Rows of equal
/// rank are sorted by coin and time, in the direction of `order`.
#[utoipa::path(get, path = "/data", tag = "data", operation_id = "list", params(Query), responses(
    (status = 200, description = "A page.", body = DataPage, headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch."),
        ("Link" = String, description = "Address of the next page (`rel=\"next\"`), when there is one.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn list(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
) -> Result<HttpResponse, Problem> {
    let (query, start) = Query::parse(&request)?;
    let canonical = query.canonical();
    snapshots
        .data(&request, canonical, move |connection, known| {
            let page = read(&query, &start, connection, known)?;
            let link = page.next_cursor.as_deref().map(|cursor| query.link_to(cursor));
            Ok(Rendered::json(&page)?.with_link(link))
        })
        .await
}

fn read(
    query: &Query,
    start: &Cursor,
    connection: &mut Connection,
    known: &[SourceState],
) -> Result<DataPage, ReadError> {
    let scope = scope(query, connection, known)?;
    let rows = PageQuery {
        scope,
        latest: query.latest,
        bounds: query.bounds(),
        sort: start.sort.clone(),
        order: match query.order {
            Direction::Asc => Order::Asc,
            Direction::Desc => Order::Desc,
        },
        offset: query.offset,
        limit: query.limit,
    };
    let total = total(&rows, connection, known)?;
    let page = page::load(connection, &rows)?;
    let skipped = start.skipped + page.rows.len() as u64;
    let shown = query.shown();
    Ok(DataPage {
        total,
        page: start.skipped / u64::from(query.limit) + 1,
        page_size: query.limit,
        next_cursor: page.next.map(|sort| Cursor { sort, skipped }.encode(&query.cursor_scope())),
        data: page.rows.into_iter().map(|row| Observation::of(row, shown, known)).collect(),
    })
}

/// Which observations are meant.
fn scope(query: &Query, connection: &mut Connection, known: &[SourceState]) -> Result<Scope, ReadError> {
    let sources = query.source.as_deref().map(|names| sources::find_all(known, names)).transpose()?;
    let ids: Vec<i16> =
        sources.as_deref().unwrap_or_default().iter().map(|source| source.source_id).collect();
    if query.crypto_id.is_some() || query.symbol.is_some() {
        let filter = CoinFilter {
            crypto_ids: query.crypto_id.as_deref(),
            symbols: query.symbol.as_deref(),
            source_ids: sources.is_some().then_some(&ids),
        };
        return Ok(Scope::Coins(latest::coin_ids(connection, &filter)?));
    }
    Ok(match sources {
        Some(sources) => {
            Scope::Sources { ids, names: sources.iter().map(|source| source.name.clone()).collect() }
        }
        None => Scope::All(known.iter().map(|source| source.source_id).collect()),
    })
}

/// How many there are: from the counters where these can tell, else by reading the few rows that are meant.
fn total(rows: &PageQuery, connection: &mut Connection, known: &[SourceState]) -> Result<i64, ReadError> {
    if rows.latest || rows.bounds.is_some() {
        return Ok(page::count(connection, rows)?);
    }
    Ok(match &rows.scope {
        Scope::Coins(coins) => latest::observation_count(connection, coins)?,
        Scope::All(ids) | Scope::Sources { ids, .. } => {
            known.iter().filter(|s| ids.contains(&s.source_id)).map(|s| s.observations).sum()
        }
    })
}
