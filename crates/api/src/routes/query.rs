//! The parameters of `GET /data`.

use std::ops::RangeInclusive;

use actix_web::HttpRequest;
use chrono::{DateTime, SecondsFormat, Utc};
use kasparro_core::Decimal;
use kasparro_core::store::page::{AmountColumn, Bounds, Sort};
use serde_json::json;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::cursor::{self, Cursor};
use crate::observation::{Fields, NAMES};
use crate::params::{Choice, Params};
use crate::problem::{ParameterError, Problem};
use crate::schemas;

/// Rows of a page that may be asked for.
const LIMITS: RangeInclusive<u32> = 1..=100;

/// Rows of a page when nothing is said.
const DEFAULT_LIMIT: u32 = 10;

/// Most rows that may be skipped by number: skipping costs what reading costs, a cursor does not.
const MAX_OFFSET: u32 = 100_000;

/// What bounds need, in words.
const NEEDS_FEW: &str = "together with `latest=true`, `crypto_id` or `symbol`";

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) source: Option<Vec<String>>,
    pub(super) crypto_id: Option<Vec<String>>,
    pub(super) symbol: Option<Vec<String>>,
    pub(super) latest: bool,
    pub(super) bounds: Bounds,
    pub(super) sort_by: SortBy,
    pub(super) order: Direction,
    pub(super) limit: u32,
    pub(super) offset: u32,
    cursor: Option<String>,
    fields: Option<Vec<String>>,
}

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = selection();
        all.extend(bounds());
        all.extend(paging());
        all
    }
}

fn selection() -> Vec<Parameter> {
    vec![
        schemas::list("source", "Only observations of these sources.", schemas::source())
            .example(Some(json!(["coinpaprika"])))
            .build(),
        schemas::list(
            "crypto_id",
            "Only observations of coins with these ids, as the sources spell them. An id with a comma is found \
             at `/data/{crypto_id}`.",
            schemas::item(),
        )
        .example(Some(json!(["btc-bitcoin"])))
        .build(),
        schemas::list(
            "symbol",
            "Only observations of coins whose newest observation has one of these symbols, in whatever case.",
            schemas::item(),
        )
        .build(),
        schemas::query(
            "latest",
            "`true`: only the newest observation of each coin of each source.",
            schemas::choice::<Latest>(),
        )
        .build(),
        schemas::list("fields", "Only these fields of the observations.", schemas::word(NAMES)).build(),
    ]
}

fn bounds() -> Vec<Parameter> {
    let note = |text: &str| {
        format!(
            "{text} Only {NEEDS_FEW}: the exact `total` would cost reading all observations otherwise. \
             An unknown amount is within no bound."
        )
    };
    let time = |name, text| schemas::query(name, &note(text), schemas::time()).build();
    let amount = |name, text| schemas::query(name, &note(text), schemas::amount()).build();
    vec![
        time("from", "Earliest `observed_at`."),
        time("to", "Latest `observed_at`."),
        amount("min_price_usd", "Least price."),
        amount("max_price_usd", "Greatest price."),
        amount("min_market_cap_usd", "Least market capitalisation."),
        amount("max_market_cap_usd", "Greatest market capitalisation."),
        amount("min_volume_24h_usd", "Least volume."),
        amount("max_volume_24h_usd", "Greatest volume."),
    ]
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

/// Whether only the newest observations are meant.
#[derive(Clone, Copy, Debug)]
struct Latest(bool);

impl Choice for Latest {
    const ALL: &'static [(&'static str, Self)] = &[("false", Self(false)), ("true", Self(true))];
}

impl Query {
    /// Reads the parameters of a request, and where its page begins.
    pub(super) fn parse(request: &HttpRequest) -> Result<(Self, Cursor), Problem> {
        let mut params = Params::of(request)?;
        let query = Self {
            source: params.list("source"),
            crypto_id: params.list("crypto_id"),
            symbol: params.list("symbol").map(lowered),
            latest: params.choice::<Latest>("latest").0,
            bounds: read_bounds(&mut params),
            fields: params.words("fields", NAMES),
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
        if !self.latest && self.crypto_id.is_none() && self.symbol.is_none() {
            for (name, _) in self.bound_pairs() {
                params.refuse(name, "it would need a count of all observations", NEEDS_FEW);
            }
        }
    }

    /// The fields that are shown.
    pub(super) fn shown(&self) -> Fields {
        self.fields.as_deref().map_or(Fields::ALL, Fields::named)
    }

    /// The bounds, if there are any.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        (!self.bound_pairs().is_empty()).then(|| self.bounds.clone())
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
                allowed: "`next_cursor` of a page with the same filters, sort_by and order".to_owned(),
            }])
        })
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

    fn page(&self) -> Vec<(&'static str, String)> {
        let mut pairs = self.rows();
        pairs.push(("limit", self.limit.to_string()));
        pairs.extend(self.fields.as_ref().map(|fields| ("fields", fields.join(","))));
        pairs
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let lists = [("source", &self.source), ("crypto_id", &self.crypto_id), ("symbol", &self.symbol)];
        let mut pairs: Vec<_> =
            lists.into_iter().filter_map(|(name, list)| Some((name, list.as_ref()?.join(",")))).collect();
        pairs.extend(self.latest.then(|| ("latest", "true".to_owned())));
        pairs.extend(self.bound_pairs());
        pairs.push(("sort_by", word(self.sort_by)));
        pairs.push(("order", word(self.order)));
        pairs
    }

    fn bound_pairs(&self) -> Vec<(&'static str, String)> {
        let time =
            |time: &Option<DateTime<Utc>>| time.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        let amount = |amount: &Option<Decimal>| amount.as_ref().map(ToString::to_string);
        let Bounds { observed_at, price_usd, market_cap_usd, volume_24h_usd } = &self.bounds;
        let all = [
            ("from", time(&observed_at[0])),
            ("to", time(&observed_at[1])),
            ("min_price_usd", amount(&price_usd[0])),
            ("max_price_usd", amount(&price_usd[1])),
            ("min_market_cap_usd", amount(&market_cap_usd[0])),
            ("max_market_cap_usd", amount(&market_cap_usd[1])),
            ("min_volume_24h_usd", amount(&volume_24h_usd[0])),
            ("max_volume_24h_usd", amount(&volume_24h_usd[1])),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn read_bounds(params: &mut Params) -> Bounds {
    let times = [params.time("from"), params.time("to")];
    let mut amounts = |names: [&'static str; 2]| {
        let bounds = names.map(|name| params.amount(name));
        params.ordered(names, bounds)
    };
    Bounds {
        price_usd: amounts(["min_price_usd", "max_price_usd"]),
        market_cap_usd: amounts(["min_market_cap_usd", "max_market_cap_usd"]),
        volume_24h_usd: amounts(["min_volume_24h_usd", "max_volume_24h_usd"]),
        observed_at: params.ordered(["from", "to"], times),
    }
}

/// Symbols are compared whatever the case of their ASCII letters.
fn lowered(mut symbols: Vec<String>) -> Vec<String> {
    symbols.iter_mut().for_each(|symbol| symbol.make_ascii_lowercase());
    symbols.sort_unstable();
    symbols.dedup();
    symbols
}

/// How a choice is spelt.
fn word<C: Choice + PartialEq>(choice: C) -> String {
    let found = C::ALL.iter().find(|(_, known)| *known == choice);
    found.map_or_else(String::new, |(word, _)| (*word).to_owned())
}
