//! The parameters of `GET /data`.

use std::ops::RangeInclusive;

use actix_web::HttpRequest;
use kasparro_core::store::page::{AmountColumn, Sort};
use serde_json::json;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::cursor::{self, Cursor};
use crate::format::Format;
use crate::params::{Choice, Params};
use crate::problem::Problem;
use crate::schemas;

use super::filter::{Filter, Pairs};

/// Rows of a page that may be asked for.
const LIMITS: RangeInclusive<u32> = 1..=100;

/// Rows of a page when nothing is said.
const DEFAULT_LIMIT: u32 = 10;

/// Most rows that may be skipped by number: skipping costs what reading costs, a cursor does not.
const MAX_OFFSET: u32 = 100_000;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) filter: Filter,
    pub(super) sort_by: SortBy,
    pub(super) order: Direction,
    pub(super) limit: u32,
    pub(super) offset: u32,
    cursor: Option<String>,
}

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = Filter::parameters();
        all.push(Format::parameter());
        all.extend(paging());
        all
    }
}

fn paging() -> Vec<Parameter> {
    vec![
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
            "`next_cursor` of the page before, with the same filters, `sort_by` and `order`. Not together with \
             `offset`.",
            schemas::text(cursor::MAX_CHARS),
        )
        .build(),
    ]
}

/// What `GET /data` can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SortBy {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Desc,
    Asc,
}

impl Choice for Direction {
    const ALL: &'static [(&'static str, Self)] = &[("desc", Self::Desc), ("asc", Self::Asc)];
}

impl Query {
    /// Reads the parameters of a request, and where its page begins.
    pub(super) fn parse(request: &HttpRequest) -> Result<(Self, Cursor), Problem> {
        let mut params = Params::of(request)?;
        let query = Self {
            filter: Filter::take(request, &mut params),
            sort_by: params.choice("sort_by"),
            order: params.choice("order"),
            limit: params.number("limit", LIMITS, DEFAULT_LIMIT),
            offset: params.number("offset", 0..=u32::MAX, 0),
            cursor: params.text("cursor", cursor::MAX_CHARS),
        };
        query.check(&mut params);
        params.finish()?;
        let start = query.start()?;
        Ok((query, start))
    }

    /// What contradicts itself or costs too much.
    fn check(&self, params: &mut Params) {
        if self.offset > MAX_OFFSET {
            let allowed = format!("a whole number from 0 to {MAX_OFFSET}; beyond that, `cursor`");
            params.refuse("offset", "it is too far: go on with `cursor`", allowed);
        }
        if self.cursor.is_some() && self.offset > 0 {
            params.refuse("offset", "it cannot be combined with `cursor`", "0, or leave one of the two out");
        }
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
        Cursor::decode(text, &self.cursor_scope(), &sort).ok_or_else(cursor::foreign)
    }

    /// Whether the page is counted from the first row, and not from that of a cursor.
    pub(super) fn is_from_the_beginning(&self) -> bool {
        self.cursor.is_none()
    }

    /// What a cursor is tied to: all that decides which rows there are and in which order.
    pub(super) fn cursor_scope(&self) -> String {
        serde_json::to_string(&self.rows()).unwrap_or_default()
    }

    /// The query in one spelling, whatever that of the client.
    pub(super) fn canonical(&self) -> String {
        serde_json::to_string(&("data", self.page(), self.offset, &self.cursor)).unwrap_or_default()
    }

    /// The `Link` header of the next page.
    pub(super) fn link_to(&self, cursor: &str) -> String {
        let mut pairs = self.page();
        pairs.push(("cursor", cursor.to_owned()));
        format!("</data?{}>; rel=\"next\"", serde_urlencoded::to_string(&pairs).unwrap_or_default())
    }

    fn page(&self) -> Pairs {
        let mut pairs = self.rows();
        pairs.push(("limit", self.limit.to_string()));
        pairs.extend(self.filter.shape());
        pairs
    }

    fn rows(&self) -> Pairs {
        let mut pairs = self.filter.rows();
        pairs.push(("sort_by", word(self.sort_by)));
        pairs.push(("order", word(self.order)));
        pairs
    }
}

/// How a choice is spelt.
fn word<C: Choice + PartialEq>(choice: C) -> String {
    let found = C::ALL.iter().find(|(_, known)| *known == choice);
    found.map_or_else(String::new, |(word, _)| (*word).to_owned())
}
