//! `GET /assets`: assets by page, searched and sorted.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use actix_web::{HttpRequest, HttpResponse, web};
use kasparro_core::Decimal;
use kasparro_core::store::market::{self, Member};
use kasparro_core::store::version::SourceState;
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::super::query::Direction;
use super::view::{Asset, Moment, by_asset};
use crate::answer::Rendered;
use crate::db::{Connection, ReadError};
use crate::freshness::Bound;
use crate::params::{Choice, MAX_TEXT_CHARS, Params};
use crate::problem::Problem;
use crate::snapshot::Snapshots;
use crate::{cursor, schemas};

const LIMITS: RangeInclusive<u32> = 1..=250;
const DEFAULT_LIMIT: u32 = 20;

/// A page of assets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetPage {
    /// Number of assets that the search leaves, on all pages; exact.
    #[schema(example = 7301, minimum = 0)]
    total: usize,
    /// The assets.
    data: Vec<Asset>,
    /// `cursor` of the next page; null when there is none.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// What assets can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SortBy {
    MarketCap,
    Price,
    Volume,
    Change,
}

impl Choice for SortBy {
    const ALL: &'static [(&'static str, Self)] = &[
        ("market_cap_usd", Self::MarketCap),
        ("price_usd", Self::Price),
        ("volume_24h_usd", Self::Volume),
        ("change_24h_percent", Self::Change),
    ];
}

impl SortBy {
    fn key(self, asset: &Asset) -> Option<&Decimal> {
        match self {
            Self::MarketCap => asset.market_cap_usd.as_ref(),
            Self::Price => asset.price_usd.as_ref(),
            Self::Volume => asset.volume_24h_usd.as_ref(),
            Self::Change => asset.change_24h_percent.as_ref(),
        }
    }
}

/// Parameters of `GET /assets`.
struct Query {
    q: Option<String>,
    sort_by: SortBy,
    order: Direction,
    limit: u32,
    cursor: Option<String>,
}

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            schemas::query(
                "q",
                "Only assets with this in their name, id or the id of any source, or with a symbol that begins with \
                 it; in whatever case.",
                schemas::text(MAX_TEXT_CHARS),
            )
            .example(Some(json!("btc")))
            .build(),
            schemas::query(
                "sort_by",
                "What to sort by. What is not known is last, whatever the order.",
                schemas::choice::<SortBy>(),
            )
            .build(),
            schemas::query("order", "Direction.", schemas::choice::<Direction>()).build(),
            schemas::query("limit", "Most assets of the page.", schemas::number(&LIMITS, DEFAULT_LIMIT)).build(),
            schemas::query(
                "cursor",
                "`next_cursor` of the page before, with the same `q`, `sort_by` and `order`.",
                schemas::text(cursor::MAX_CHARS),
            )
            .build(),
        ]
    }
}

impl Query {
    fn parse(request: &HttpRequest) -> Result<Self, Problem> {
        let mut params = Params::of(request)?;
        let query = Self {
            q: params.text("q", MAX_TEXT_CHARS).map(|text| text.to_lowercase()),
            sort_by: params.choice("sort_by"),
            order: params.choice("order"),
            limit: params.number("limit", LIMITS, DEFAULT_LIMIT),
            cursor: params.text("cursor", cursor::MAX_CHARS),
        };
        params.finish()?;
        Ok(query)
    }

    /// All that decides which assets there are and in which order.
    fn rows(&self) -> BTreeMap<&'static str, String> {
        let mut pairs = BTreeMap::from([("sort_by", word(self.sort_by)), ("order", word(self.order))]);
        pairs.extend(self.q.as_ref().map(|q| ("q", q.clone())));
        pairs
    }

    fn scope(&self) -> String {
        serde_json::to_string(&("assets", self.rows())).unwrap_or_default()
    }

    fn canonical(&self) -> String {
        serde_json::to_string(&("assets", self.rows(), self.limit, &self.cursor)).unwrap_or_default()
    }

    fn link_to(&self, cursor: &str) -> String {
        let mut pairs = self.rows();
        pairs.insert("limit", self.limit.to_string());
        pairs.insert("cursor", cursor.to_owned());
        format!("</assets?{}>; rel=\"next\"", serde_urlencoded::to_string(&pairs).unwrap_or_default())
    }

    fn start(&self) -> Result<Option<Position>, Problem> {
        let Some(text) = &self.cursor else { return Ok(None) };
        let position = cursor::unseal(text, &self.scope()).and_then(|text| Position::read(&text));
        position.map(Some).ok_or_else(cursor::foreign)
    }

    /// Whether the search means an asset.
    fn finds(&self, members: &[Member]) -> bool {
        let Some(q) = &self.q else { return true };
        let has = |text: &str| text.to_lowercase().contains(q);
        let begins = |symbol: &Option<String>| {
            symbol.as_ref().is_some_and(|symbol| symbol.to_lowercase().starts_with(q))
        };
        members.iter().any(|member| {
            let Member { slug, asset_name, asset_symbol, observation, .. } = member;
            has(slug)
                || has(asset_name)
                || begins(asset_symbol)
                || begins(&observation.symbol)
                || has(&observation.crypto_id)
                || observation.crypto_name.as_deref().is_some_and(has)
        })
    }

    /// Order of two places; what is not known is last.
    fn compare(&self, a: (Option<&Decimal>, &str), b: (Option<&Decimal>, &str)) -> Ordering {
        let directed = |order: Ordering| match self.order {
            Direction::Asc => order,
            Direction::Desc => order.reverse(),
        };
        match (a.0, b.0) {
            (Some(x), Some(y)) => directed(x.cmp(y)).then_with(|| a.1.cmp(b.1)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => a.1.cmp(b.1),
        }
    }
}

/// Behind which asset a page begins.
struct Position {
    key: Option<Decimal>,
    slug: String,
}

impl Position {
    fn read(text: &str) -> Option<Self> {
        let (key, slug) = text.split_once(',')?;
        let key = if key.is_empty() { None } else { Some(Decimal::parse(key).ok()?) };
        Some(Self { key, slug: slug.to_owned() })
    }

    fn write(key: Option<&Decimal>, slug: &str) -> String {
        format!("{},{slug}", key.map(Decimal::as_str).unwrap_or_default())
    }
}

/// Lists assets: every coin once, whatever the sources call it, greatest market capitalisation first unless told otherwise.
#[utoipa::path(get, path = "/assets", tag = "assets", operation_id = "assets", params(Query), responses(
    (status = 200, description = "A page.", body = AssetPage, headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch."),
        ("Link" = String, description = "Address of the next page (`rel=\"next\"`), when there is one.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn list(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
    stale_after: web::Data<Bound>,
) -> Result<HttpResponse, Problem> {
    let query = Query::parse(&request)?;
    let start = query.start()?;
    let bound = **stale_after;
    let canonical = query.canonical();
    snapshots
        .data(&request, canonical, move |connection, known| {
            let page = read(&query, start.as_ref(), connection, known, bound)?;
            let link = page.next_cursor.as_deref().map(|cursor| query.link_to(cursor));
            Ok(Rendered::json(&page)?.with_link(link))
        })
        .await
}

fn read(
    query: &Query,
    start: Option<&Position>,
    connection: &mut Connection,
    known: &[SourceState],
    bound: Bound,
) -> Result<AssetPage, ReadError> {
    let moment = Moment::of(known, bound);
    let members = market::all(connection)?;
    let found = by_asset(&members).filter(|members| query.finds(members));
    let mut assets: Vec<Asset> = found.filter_map(|members| Asset::of(members, &moment)).collect();
    let total = assets.len();
    let place = |asset: &Asset| (query.sort_by.key(asset).cloned(), asset.asset_id.clone());
    if let Some(start) = start {
        assets.retain(|asset| {
            let (key, slug) = place(asset);
            query.compare((key.as_ref(), &slug), (start.key.as_ref(), &start.slug)) == Ordering::Greater
        });
    }
    assets.sort_by(|a, b| {
        query.compare((query.sort_by.key(a), &a.asset_id), (query.sort_by.key(b), &b.asset_id))
    });
    let more = assets.len() > query.limit as usize;
    assets.truncate(query.limit as usize);
    let next_cursor = assets
        .last()
        .filter(|_| more)
        .map(|last| cursor::seal(&query.scope(), &Position::write(query.sort_by.key(last), &last.asset_id)));
    Ok(AssetPage { total, data: assets, next_cursor })
}

/// How a choice is spelt.
fn word<C: Choice + PartialEq>(choice: C) -> String {
    let found = C::ALL.iter().find(|(_, known)| *known == choice);
    found.map_or_else(String::new, |(word, _)| (*word).to_owned())
}
