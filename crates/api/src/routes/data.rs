//! `GET /data`: observations by page.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use kasparro_core::store::page::{self, FEW_ROWS, Order, Page, PageQuery, Sort};
use kasparro_core::store::version::{self, SourceState};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::{Rendered, unwritable};
use crate::cursor::Cursor;
use crate::db::{Connection, ReadError};
use crate::findings::{Orders, Spans, Totals};
use crate::format::{Format, Rows};
use crate::observation::Observation;
use crate::problem::{Code, Problem};
use crate::reads::Seen;
use crate::snapshot::Snapshots;

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
/// rank are sorted by coin and time, in the direction of `order`. NDJSON and CSV hold the rows alone: `total` is in
/// `X-Total-Count`, the next page in `Link`.
#[utoipa::path(get, path = "/data", tag = "data", operation_id = "list", params(Query), responses(
    (status = 200, description = "A page.", content((DataPage = "application/json"),
        (String = "application/x-ndjson"), (String = "text/csv")), headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch."),
        ("Link" = String, description = "Address of the next page (`rel=\"next\"`), when there is one."),
        ("X-Total-Count" = String, description = "The `total`, with NDJSON and CSV.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn list(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
    totals: web::Data<Totals>,
    orders: web::Data<Orders>,
    spans: web::Data<Spans>,
) -> Result<HttpResponse, Problem> {
    let (query, start) = Query::parse(&request)?;
    let canonical = query.canonical();
    let found =
        Found { totals: Totals::clone(&totals), orders: Orders::clone(&orders), spans: Spans::clone(&spans) };
    let answer = snapshots.data(&request, canonical, move |connection, known| {
        let (page, version) = read(&query, &start, connection, known, &found)?;
        Ok(Seen { rendered: render(&query, &page)?, version })
    });
    answer.await.map_err(|problem| problem.advised(Code::Busy, NARROWER))
}

/// What helps when the database does not answer in time.
const NARROWER: &str = "if it stays like that, narrow the query down with crypto_id, symbol, source, from and to or \
     latest=true";

/// What was found out about the version.
struct Found {
    totals: Totals,
    orders: Orders,
    spans: Spans,
}

fn read(
    query: &Query,
    start: &Cursor,
    connection: &mut Connection,
    known: &[SourceState],
    found: &Found,
) -> Result<(DataPage, Option<i64>), ReadError> {
    let (selection, total) = query.filter.select(connection, known, &found.totals)?;
    let few = selection.is_few() || selection.bounds.is_some() && total <= FEW_ROWS;
    let mut rows = PageQuery {
        selection,
        few,
        sort: start.sort.clone(),
        span: None,
        order: match query.order {
            Direction::Asc => Order::Asc,
            Direction::Desc => Order::Desc,
        },
        offset: query.offset,
        limit: query.limit,
    };
    if rows.selection.latest && query.is_from_the_beginning() {
        let name = query.cursor_scope();
        let coins =
            found.orders.of(known, name, || page::coins_in_order(connection, &rows).map(Arc::from))?;
        rows.narrow_to(&coins);
    }
    let page = load(query, connection, known, rows, &found.spans)?;
    let skipped = start.skipped + page.rows.len() as u64;
    let shown = query.filter.shown();
    let shown_page = DataPage {
        total,
        page: start.skipped / u64::from(query.limit) + 1,
        page_size: query.limit,
        next_cursor: page.next.map(|sort| Cursor { sort, skipped }.encode(&query.cursor_scope())),
        data: page.rows.into_iter().map(|row| Observation::of(row, shown, known)).collect(),
    };
    Ok((shown_page, page.version))
}

/// Reads the page. Where it lies among those within bounds is found out once for a version.
fn load(
    query: &Query,
    connection: &mut Connection,
    known: &[SourceState],
    rows: PageQuery,
    spans: &Spans,
) -> Result<Page, ReadError> {
    let is_walk = matches!(rows.sort, Sort::Amount(_, None)) && !rows.few && rows.selection.bounds.is_some();
    if !is_walk {
        return Ok(page::load(connection, &rows)?);
    }
    let name = query.canonical();
    if let Some(span) = spans.known(known, &name) {
        let within = PageQuery { span: Some(span), offset: 0, ..rows.clone() };
        let page = page::load(connection, &within)?;
        // Rows that were pruned a moment ago are missing, and others have moved up.
        if page.span == within.span {
            return Ok(page);
        }
    }
    let page = page::load(connection, &rows)?;
    // Where the data is newer than what is known the page may lie elsewhere.
    if let Some(span) = page.span.clone().filter(|_| page.version == Some(version::number(known))) {
        spans.remember(known, name, span);
    }
    Ok(page)
}

fn render(query: &Query, page: &DataPage) -> Result<Rendered, ReadError> {
    let link = page.next_cursor.as_deref().map(|cursor| query.link_to(cursor));
    let format = query.filter.format;
    if format == Format::Json {
        return Ok(Rendered::json(page)?.with_link(link));
    }
    let mut body = Vec::new();
    let mut rows = Rows::begin(format, query.filter.shown(), &mut body);
    for row in &page.data {
        rows.write(row, &mut body).map_err(unwritable)?;
    }
    rows.end(&mut body);
    Ok(Rendered::new(format.content_type(), body).with_link(link).with_total(page.total))
}
