//! `GET /assets/{id}/history`: what was observed of an asset over time, as it is known now or was known then.

use std::ops::RangeInclusive;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use kasparro_core::Decimal;
use kasparro_core::store::history::{self, Place, Range};
use kasparro_core::store::market;
use kasparro_core::store::page::Order;
use kasparro_core::store::version::SourceState;
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{AnyOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::super::query::Direction;
use crate::answer::Rendered;
use crate::db::{Connection, ReadError};
use crate::observation::{Fields, Observation};
use crate::params::{Choice, Params};
use crate::problem::Problem;
use crate::snapshot::Snapshots;
use crate::{cursor, schemas, sources};

const LIMITS: RangeInclusive<u32> = 1..=500;
const DEFAULT_LIMIT: u32 = 100;

/// The history of an asset, a page of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// The asset.
    #[schema(example = "bitcoin")]
    asset_id: String,
    /// `raw`, `5m`, `1h` or `1d`.
    #[schema(example = "1h")]
    interval: &'static str,
    /// Observations for `raw`, else candles and gaps.
    data: Vec<Item>,
    /// `cursor` of the next page; null when there is none.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// One entry of a history.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Item {
    /// An observation.
    Observation(Box<Observation>),
    /// A candle, or a gap.
    Candle(Box<Candle>),
}

/// Either, rather than exactly one: no member of an observation is required, so a candle would be both.
impl PartialSchema for Item {
    fn schema() -> RefOr<Schema> {
        let either = AnyOfBuilder::new()
            .description(Some("One entry of a history: an observation, or a candle."))
            .item(Ref::from_schema_name(Observation::name()))
            .item(Ref::from_schema_name(Candle::name()));
        Schema::AnyOf(either.build()).into()
    }
}

impl ToSchema for Item {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend([
            (Observation::name().into_owned(), Observation::schema()),
            (Candle::name().into_owned(), Candle::schema()),
        ]);
        Observation::schemas(schemas);
        Candle::schemas(schemas);
    }
}

/// The prices within a span of time, over the sources asked for; with `samples` 0 a gap: every span from `start` to
/// `end` is without a price.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Candle {
    /// Where it begins, UTC; a multiple of the interval since 1970.
    #[schema(example = "2026-11-23T15:00:00Z")]
    start: DateTime<Utc>,
    /// Where it ends, UTC; this moment does not belong to it.
    #[schema(example = "2026-11-23T16:00:00Z")]
    end: DateTime<Utc>,
    /// First price: US dollars per coin.
    #[schema(value_type = Option<f64>, example = json!(91234.5), minimum = 0)]
    open: Option<Decimal>,
    /// Greatest price.
    #[schema(value_type = Option<f64>, example = json!(91300.25), minimum = 0)]
    high: Option<Decimal>,
    /// Least price.
    #[schema(value_type = Option<f64>, example = json!(91100), minimum = 0)]
    low: Option<Decimal>,
    /// Last price.
    #[schema(value_type = Option<f64>, example = json!(91150.75), minimum = 0)]
    close: Option<Decimal>,
    /// Number of prices.
    #[schema(example = 24, minimum = 0)]
    samples: i64,
    /// Names of the sources that they are from.
    #[schema(example = json!(["coingecko", "coinpaprika"]))]
    sources: Vec<String>,
}

/// How long a candle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interval {
    Raw,
    FiveMinutes,
    Hour,
    Day,
}

impl Choice for Interval {
    const ALL: &'static [(&'static str, Self)] =
        &[("raw", Self::Raw), ("5m", Self::FiveMinutes), ("1h", Self::Hour), ("1d", Self::Day)];
}

impl Interval {
    /// Its length in seconds; `None` for single observations.
    fn seconds(self) -> Option<i64> {
        match self {
            Self::Raw => None,
            Self::FiveMinutes => Some(300),
            Self::Hour => Some(3600),
            Self::Day => Some(86_400),
        }
    }

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(word, _)| word)
    }
}

/// Parameters of `GET /assets/{id}/history`.
#[derive(Clone, Debug)]
struct Query {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    interval: Interval,
    source: Option<Vec<String>>,
    as_of: Option<DateTime<Utc>>,
    order: Direction,
    limit: u32,
    cursor: Option<String>,
}

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let time = |name, text| schemas::query(name, text, schemas::time());
        vec![
            super::id_parameter(),
            time("from", "Earliest `observed_at`. Candles are whole: the one that this time is in is the first.")
                .example(Some(json!("2026-11-22T00:00:00Z")))
                .build(),
            time("to", "Latest `observed_at`; the candle that this time is in is the last.").build(),
            schemas::query(
                "interval",
                "`raw` for the observations themselves, else the length of candles.",
                schemas::choice::<Interval>(),
            )
            .example(Some(json!("1h")))
            .build(),
            schemas::list("source", "Only what these sources say.", schemas::source()).build(),
            time(
                "as_of",
                "What was known at this time: only what had been written by then, with the values it had then.",
            )
            .build(),
            schemas::query("order", "Direction of time.", schemas::choice::<Direction>()).build(),
            schemas::query(
                "limit",
                "Most observations of the page; for candles, how many intervals a page reaches over, gaps in front of \
                 it apart.",
                schemas::number(&LIMITS, DEFAULT_LIMIT),
            )
            .build(),
            schemas::query(
                "cursor",
                "`next_cursor` of the page before, of the same query.",
                schemas::text(cursor::MAX_CHARS),
            )
            .build(),
        ]
    }
}

impl Query {
    fn parse(request: &HttpRequest) -> Result<Self, Problem> {
        let mut params = Params::of(request)?;
        let times = [params.time("from"), params.time("to")];
        let [from, to] = params.ordered(["from", "to"], times);
        let query = Self {
            from,
            to,
            interval: params.choice("interval"),
            source: params.list("source"),
            as_of: params.time("as_of"),
            order: params.choice("order"),
            limit: params.number("limit", LIMITS, DEFAULT_LIMIT),
            cursor: params.text("cursor", cursor::MAX_CHARS),
        };
        params.finish()?;
        Ok(query)
    }

    /// All that decides which entries there are and in which order.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let time = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let order =
            Direction::ALL.iter().find(|(_, known)| *known == self.order).map_or("", |(word, _)| word);
        let mut pairs = vec![("interval", self.interval.word().to_owned()), ("order", order.to_owned())];
        pairs.extend(self.from.as_ref().map(|at| ("from", time(at))));
        pairs.extend(self.to.as_ref().map(|at| ("to", time(at))));
        pairs.extend(self.as_of.as_ref().map(|at| ("as_of", time(at))));
        pairs.extend(self.source.as_ref().map(|names| ("source", names.join(","))));
        pairs
    }

    fn scope(&self, id: &str) -> String {
        serde_json::to_string(&("history", id, self.rows())).unwrap_or_default()
    }

    fn link_to(&self, slug: &str, cursor: &str) -> String {
        let mut pairs = self.rows();
        pairs.push(("limit", self.limit.to_string()));
        pairs.push(("cursor", cursor.to_owned()));
        let query = serde_urlencoded::to_string(&pairs).unwrap_or_default();
        format!("</assets/{slug}/history?{query}>; rel=\"next\"")
    }

    fn store_order(&self) -> Order {
        match self.order {
            Direction::Asc => Order::Asc,
            Direction::Desc => Order::Desc,
        }
    }
}

/// Shows what was observed of an asset over time: single observations, or candles with the gaps between them.
///
/// With `as_of` it shows what was known at that time; which coins belong to the asset is as of now.
#[utoipa::path(get, path = "/assets/{id}/history", tag = "assets", operation_id = "history", params(Query), responses(
    (status = 200, description = "A page.", body = History, headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch."),
        ("Link" = String, description = "Address of the next page (`rel=\"next\"`), when there is one.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn history(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
) -> Result<HttpResponse, Problem> {
    let id = super::id_of(&request, 1)?;
    let query = Query::parse(&request)?;
    let canonical = json!([query.scope(&id), query.limit, query.cursor]).to_string();
    snapshots
        .data(&request, canonical, move |connection, known| {
            let page = read(&query, &id, connection, known)?;
            let link = page.next_cursor.as_deref().map(|cursor| query.link_to(&page.asset_id, cursor));
            Ok(Rendered::json(&page)?.with_link(link))
        })
        .await
}

fn read(
    query: &Query,
    id: &str,
    connection: &mut Connection,
    known: &[SourceState],
) -> Result<History, ReadError> {
    let wanted = query.source.as_deref().map(|names| sources::find_all(known, names)).transpose()?;
    let meant = super::meant(connection, id)?;
    // The same position whichever of its ids the asset is asked by.
    let scope = query.scope(&meant.slug);
    let position: Option<Vec<i64>> = match &query.cursor {
        Some(text) => {
            let opened = cursor::unseal(text, &scope).ok_or_else(cursor::foreign)?;
            Some(opened.split(',').filter_map(|part| part.parse().ok()).collect())
        }
        None => None,
    };
    let is_wanted = |source_id: i16| {
        wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|source| source.source_id == source_id))
    };
    let members = market::members(connection, &[meant.asset_id])?;
    let coins = members
        .iter()
        .filter(|member| is_wanted(member.source_id))
        .map(|member| (member.observation.coin_id, member.source_id))
        .collect();
    let range = Range { coins, from: query.from, before: None, as_of: query.as_of, priced: false };
    let (data, next) = match query.interval.seconds() {
        None => raw(query, range, position, connection, known)?,
        Some(seconds) => Walk { query, range, seconds, known }.page(position, connection)?,
    };
    Ok(History {
        asset_id: meant.slug,
        interval: query.interval.word(),
        data,
        next_cursor: next.map(|position| cursor::seal(&scope, &position)),
    })
}

/// A page of observations, and the position of the next one.
fn raw(
    query: &Query,
    range: Range,
    position: Option<Vec<i64>>,
    connection: &mut Connection,
    known: &[SourceState],
) -> Result<(Vec<Item>, Option<String>), ReadError> {
    let before = query.to.map(|to| to + TimeDelta::microseconds(1));
    let range = Range { before, ..range };
    let behind = match position.as_deref() {
        Some([micros, coin_id]) => Some(Place {
            observed_at: DateTime::from_timestamp_micros(*micros).ok_or_else(cursor::foreign)?,
            coin_id: i32::try_from(*coin_id).map_err(|_| cursor::foreign())?,
        }),
        _ => None,
    };
    let limit = query.limit as usize;
    let mut rows = history::page(connection, &range, query.store_order(), behind, limit as i64 + 1)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|last| format!("{},{}", last.observed_at.timestamp_micros(), last.coin_id));
    let item = |row| Item::Observation(Box::new(Observation::of(row, Fields::ALL, known)));
    Ok((rows.into_iter().map(item).collect(), next))
}

/// A walk over candles; all times are in seconds since 1970 and multiples of the interval.
/// Of the year 9999, UTC.
const LAST_SECOND: i64 = 253_402_300_799;

struct Walk<'q> {
    query: &'q Query,
    range: Range,
    seconds: i64,
    known: &'q [SourceState],
}

impl Walk<'_> {
    /// A page of candles and gaps, and the position of the next one: the end of what has been shown.
    fn page(
        &self,
        position: Option<Vec<i64>>,
        connection: &mut Connection,
    ) -> Result<(Vec<Item>, Option<String>), ReadError> {
        let forward = self.query.order == Direction::Asc;
        let first = self.query.from.map(|from| self.floor(from));
        // Years have four digits.
        let last = LAST_SECOND.div_euclid(self.seconds) * self.seconds;
        let end = self.query.to.map(|to| (self.floor(to) + self.seconds).min(last));
        let reached = position.and_then(|position| position.first().copied());
        let (low, high) = if forward { (reached.or(first), end) } else { (first, reached.or(end)) };
        let Some(edge) = self.edge(low, high, connection)? else {
            return Ok((gap(low, high).into_iter().collect(), None));
        };
        let reach = (i64::from(self.query.limit) - 1) * self.seconds;
        let (from, to) = if forward {
            (edge, high.map_or(i64::MAX, |high| high).min(edge + reach + self.seconds))
        } else {
            (low.unwrap_or(i64::MIN).max(edge - reach), edge + self.seconds)
        };
        let range = self.between(Some(from), Some(to));
        let candles = history::candles(connection, &range, self.seconds)?;
        let (oldest, newest) =
            (candles.first().map(|c| c.start), candles.last().map(|c| c.start + self.seconds));
        // What has been shown reaches so far; a gap behind it is shown whole by the next page.
        let (low_shown, high_shown) = if forward { (low, newest) } else { (oldest, high) };
        let rest = if forward { (newest, high) } else { (low, oldest) };
        let more = self.edge(rest.0, rest.1, connection)?.is_some();
        let mut items = Vec::new();
        let mut at = if forward { low_shown } else { None };
        if !forward && !more {
            items.extend(gap(low, oldest));
        }
        for candle in candles {
            items.extend(gap(at, Some(candle.start)));
            at = Some(candle.start + self.seconds);
            items.push(self.item(candle));
        }
        if forward && !more {
            items.extend(gap(newest, high));
        } else if !forward {
            items.extend(gap(newest, high_shown));
        }
        if !forward {
            items.reverse();
        }
        let next = if forward { newest } else { oldest };
        Ok((items, next.filter(|_| more).map(|next| next.to_string())))
    }

    /// The candle of the first price of the walk between two ends.
    fn edge(
        &self,
        low: Option<i64>,
        high: Option<i64>,
        connection: &mut Connection,
    ) -> Result<Option<i64>, ReadError> {
        let range = self.between(low, high);
        let found = history::page(connection, &range, self.query.store_order(), None, 1)?;
        Ok(found.first().map(|row| self.floor(row.observed_at)))
    }

    fn between(&self, low: Option<i64>, high: Option<i64>) -> Range {
        Range { from: low.and_then(time), before: high.and_then(time), priced: true, ..self.range.clone() }
    }

    fn floor(&self, time: DateTime<Utc>) -> i64 {
        time.timestamp().div_euclid(self.seconds) * self.seconds
    }

    fn item(&self, candle: history::Candle) -> Item {
        let name = |id: &i16| {
            let source = self.known.iter().find(|source| source.source_id == *id);
            source.map(|source| source.name.clone())
        };
        let mut sources: Vec<String> = candle.source_ids.iter().filter_map(name).collect();
        sources.sort_unstable();
        Item::Candle(Box::new(Candle {
            start: time(candle.start).unwrap_or_default(),
            end: time(candle.start + self.seconds).unwrap_or_default(),
            open: Some(candle.open),
            high: Some(candle.high),
            low: Some(candle.low),
            close: Some(candle.close),
            samples: candle.samples,
            sources,
        }))
    }
}

/// The gap between two times, if both are known and there is one.
fn gap(from: Option<i64>, to: Option<i64>) -> Option<Item> {
    let (start, end) = (time(from?)?, time(to?)?);
    (start < end).then(|| {
        Item::Candle(Box::new(Candle {
            start,
            end,
            open: None,
            high: None,
            low: None,
            close: None,
            samples: 0,
            sources: Vec::new(),
        }))
    })
}

/// A time that the database can hold.
fn time(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0).filter(|time| (0..=10_000).contains(&chrono::Datelike::year(time)))
}
