//! `GET /data`: observations by page.

use std::ops::RangeInclusive;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use kasparro_core::store::page::{self, AmountColumn, Order, PageQuery, Scope, Sort};
use kasparro_core::store::{latest, version::SourceState};
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use crate::cursor::{self, Cursor};
use crate::db::{Connection, Database, ReadError};
use crate::observation::Observation;
use crate::params::{Choice, MAX_TEXT_CHARS, Params};
use crate::problem::{ParameterError, Problem};
use crate::{schemas, snapshot, sources};

/// Rows of a page that may be asked for.
const LIMITS: RangeInclusive<u32> = 1..=100;

/// Rows of a page when nothing is said.
const DEFAULT_LIMIT: u32 = 10;

/// Most rows that may be skipped by number: skipping costs what reading costs, a cursor does not.
const MAX_OFFSET: u32 = 100_000;

/// Parameters of `GET /data`.
#[derive(Clone, Debug, Serialize)]
struct Query {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crypto_id: Option<String>,
    sort_by: SortBy,
    order: Direction,
    limit: u32,
    offset: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            schemas::query("source", "Only observations of this source.", schemas::source())
                .example(Some(json!("coinpaprika")))
                .build(),
            schemas::query(
                "crypto_id",
                "Only observations of coins with this id, as the sources spell it.",
                schemas::text(MAX_TEXT_CHARS),
            )
            .example(Some(json!("btc-bitcoin")))
            .build(),
            schemas::query(
                "sort_by",
                "What to sort by. Unknown amounts are last, whatever the order.",
                schemas::choice::<SortBy>(),
            )
            .example(Some(json!("market_cap_usd")))
            .build(),
            schemas::query("order", "Direction.", schemas::choice::<Direction>()).example(Some(json!("desc"))).build(),
            schemas::query("limit", "Most rows of the page.", schemas::number(&LIMITS, DEFAULT_LIMIT))
                .example(Some(json!(10)))
                .build(),
            schemas::query(
                "offset",
                "How many rows to skip. Further than this leads only `cursor`.",
                schemas::number(&(0..=MAX_OFFSET), 0),
            )
            .example(Some(json!(0)))
            .build(),
            schemas::query(
                "cursor",
                "`next_cursor` of the page before, with the same `source`, `crypto_id`, `sort_by` and `order`. \
                 Not together with `offset`.",
                schemas::text(cursor::MAX_CHARS),
            )
            .build(),
        ]
    }
}

/// What `GET /data` can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum SortBy {
    CreatedAt,
    PriceUsd,
    MarketCapUsd,
}

impl Choice for SortBy {
    const ALL: &'static [(&'static str, Self)] = &[
        ("created_at", Self::CreatedAt),
        ("price_usd", Self::PriceUsd),
        ("market_cap_usd", Self::MarketCapUsd),
    ];
}

/// Direction of `GET /data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Direction {
    Desc,
    Asc,
}

impl Choice for Direction {
    const ALL: &'static [(&'static str, Self)] = &[("desc", Self::Desc), ("asc", Self::Asc)];
}

/// One page of observations.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DataPage {
    /// Number of observations with this `source` and `crypto_id`, on all pages; exact.
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
    database: web::Data<Database>,
) -> Result<HttpResponse, Problem> {
    let (query, start) = Query::parse(&request)?;
    let canonical = serde_json::to_string(&("data", &query)).unwrap_or_default();
    let wanted = query.clone();
    let snapshot =
        snapshot::read(&database, &request, canonical, snapshot::only_data, move |connection, known, ()| {
            wanted.read(&start, connection, known)
        })
        .await?;
    Ok(snapshot.respond(|page, response| {
        if let Some(cursor) = &page.next_cursor {
            response.insert_header((header::LINK, query.link_to(cursor)));
        }
    }))
}

impl Query {
    fn parse(request: &HttpRequest) -> Result<(Self, Cursor), Problem> {
        let mut params = Params::of(request)?;
        let query = Self {
            source: params.text("source", MAX_TEXT_CHARS),
            crypto_id: params.text("crypto_id", MAX_TEXT_CHARS),
            sort_by: params.choice("sort_by"),
            order: params.choice("order"),
            limit: params.number("limit", LIMITS, DEFAULT_LIMIT),
            offset: params.number("offset", 0..=u32::MAX, 0),
            cursor: params.text("cursor", cursor::MAX_CHARS),
        };
        if query.offset > MAX_OFFSET {
            let allowed = format!("a whole number from 0 to {MAX_OFFSET}; beyond that, `cursor`");
            params.refuse("offset", "it is too far: go on with `cursor`", allowed);
        }
        if query.cursor.is_some() && query.offset > 0 {
            params.refuse("offset", "it cannot be combined with `cursor`", "0, or leave one of the two out");
        }
        params.finish()?;
        let start = query.start()?;
        Ok((query, start))
    }

    /// Where the page begins.
    fn start(&self) -> Result<Cursor, Problem> {
        let sort = match self.sort_by {
            SortBy::CreatedAt => Sort::Created(None),
            SortBy::PriceUsd => Sort::Amount(AmountColumn::PriceUsd, None),
            SortBy::MarketCapUsd => Sort::Amount(AmountColumn::MarketCapUsd, None),
        };
        let Some(text) = &self.cursor else {
            return Ok(Cursor { sort, skipped: u64::from(self.offset) });
        };
        Cursor::decode(text, &self.cursor_scope(), &sort).ok_or_else(|| {
            Problem::parameters(vec![ParameterError {
                parameter: "cursor".to_owned(),
                message: "it is not a cursor of this query".to_owned(),
                allowed: "`next_cursor` of a page with the same source, crypto_id, sort_by and order"
                    .to_owned(),
            }])
        })
    }

    /// What a cursor is tied to.
    fn cursor_scope(&self) -> String {
        serde_json::to_string(&(&self.source, &self.crypto_id, self.sort_by, self.order)).unwrap_or_default()
    }

    /// Runs where blocking is allowed.
    fn read(
        &self,
        start: &Cursor,
        connection: &mut Connection,
        known: &[SourceState],
    ) -> Result<DataPage, ReadError> {
        let (scope, total) = self.scope(connection, known)?;
        let page = page::load(
            connection,
            &PageQuery {
                scope,
                sort: start.sort.clone(),
                order: match self.order {
                    Direction::Asc => Order::Asc,
                    Direction::Desc => Order::Desc,
                },
                offset: self.offset,
                limit: self.limit,
            },
        )?;
        let skipped = start.skipped + page.rows.len() as u64;
        Ok(DataPage {
            total,
            page: start.skipped / u64::from(self.limit) + 1,
            page_size: self.limit,
            next_cursor: page.next.map(|sort| Cursor { sort, skipped }.encode(&self.cursor_scope())),
            data: page.rows.into_iter().map(Observation::from).collect(),
        })
    }

    /// Which observations are meant, and how many there are, from the counters.
    fn scope(&self, connection: &mut Connection, known: &[SourceState]) -> Result<(Scope, i64), ReadError> {
        let source = self.source.as_deref().map(|name| sources::find(known, name)).transpose()?;
        // No source at all: the one asked for has delivered nothing yet.
        let nothing = (Scope::All(Vec::new()), 0);
        if let Some(crypto_id) = &self.crypto_id {
            let source_id = match source {
                Some(None) => return Ok((Scope::Coins(Vec::new()), 0)),
                Some(Some(source)) => Some(source.source_id),
                None => None,
            };
            let coins = latest::coin_ids(connection, crypto_id, source_id)?;
            let total = latest::observation_count(connection, &coins)?;
            return Ok((Scope::Coins(coins), total));
        }
        Ok(match source {
            Some(None) => nothing,
            Some(Some(source)) => {
                (Scope::Source { id: source.source_id, name: source.name.clone() }, source.observations)
            }
            None => (
                Scope::All(known.iter().map(|source| source.source_id).collect()),
                known.iter().map(|source| source.observations).sum(),
            ),
        })
    }

    /// The `Link` header of the next page.
    fn link_to(&self, cursor: &str) -> String {
        let next = Self { cursor: Some(cursor.to_owned()), offset: 0, ..self.clone() };
        let query = serde_urlencoded::to_string(&next).unwrap_or_default();
        format!("</data?{query}>; rel=\"next\"")
    }
}
