//! Which observations are asked for, and how they are shown: the parameters that pages and exports share.

use actix_web::HttpRequest;
use chrono::{DateTime, SecondsFormat, Utc};
use kasparro_core::Decimal;
use kasparro_core::store::latest::{self, CoinFilter};
use kasparro_core::store::selection::{self, Bounds, Scope, Selection};
use kasparro_core::store::version::SourceState;
use serde_json::json;
use utoipa::openapi::path::Parameter;

use crate::db::{Connection, ReadError};
use crate::findings::Totals;
use crate::format::Format;
use crate::observation::{Fields, NAMES};
use crate::params::{Choice, Params};
use crate::{schemas, sources};

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    source: Option<Vec<String>>,
    crypto_id: Option<Vec<String>>,
    symbol: Option<Vec<String>>,
    latest: bool,
    bounds: Bounds,
    fields: Option<Vec<String>>,
    /// How rows are written.
    pub(super) format: Format,
}

/// Names with values, as in a query.
pub(super) type Pairs = Vec<(&'static str, String)>;

impl Filter {
    /// The parameters as the document describes them.
    pub(super) fn parameters() -> Vec<Parameter> {
        let mut all = selection();
        all.extend(bounds());
        all
    }

    /// Takes its parameters.
    pub(super) fn take(request: &HttpRequest, params: &mut Params) -> Self {
        Self {
            source: params.list("source"),
            crypto_id: params.list("crypto_id"),
            symbol: params.list("symbol").map(lowered),
            latest: params.choice::<Latest>("latest").0,
            bounds: read_bounds(params),
            fields: params.words("fields", NAMES),
            format: Format::take(request, params),
        }
    }

    /// The fields that are shown.
    pub(super) fn shown(&self) -> Fields {
        self.fields.as_deref().map_or(Fields::ALL, Fields::named)
    }

    /// Which rows are meant, in one spelling whatever that of the client.
    pub(super) fn rows(&self) -> Pairs {
        let lists = [("source", &self.source), ("crypto_id", &self.crypto_id), ("symbol", &self.symbol)];
        let mut pairs: Vec<_> =
            lists.into_iter().filter_map(|(name, list)| Some((name, list.as_ref()?.join(",")))).collect();
        pairs.extend(self.latest.then(|| ("latest", "true".to_owned())));
        pairs.extend(self.bound_pairs());
        pairs
    }

    /// How they are shown.
    pub(super) fn shape(&self) -> Pairs {
        let fields = self.fields.as_ref().map(|fields| ("fields", fields.join(",")));
        let format = (self.format != Format::Json).then(|| ("format", self.format.word().to_owned()));
        fields.into_iter().chain(format).collect()
    }

    /// The same for the store, and how many rows there are, exactly: from the counters where these can tell; else counted
    /// once for each version of the data.
    pub(super) fn select(
        &self,
        connection: &mut Connection,
        known: &[SourceState],
        totals: &Totals,
    ) -> Result<(Selection, i64), ReadError> {
        let (scope, observations) = self.scope(connection, known)?;
        let bounds = (!self.bound_pairs().is_empty()).then(|| self.bounds.clone());
        let rows = Selection { scope, latest: self.latest, bounds };
        if !rows.latest && rows.bounds.is_none() {
            return Ok((rows, observations));
        }
        let name = serde_json::to_string(&self.rows()).unwrap_or_default();
        let total = totals.of(known, name, || selection::count(connection, &rows))?;
        Ok((rows, total))
    }

    /// Of which sources or coins, and how many observations these have.
    fn scope(&self, connection: &mut Connection, known: &[SourceState]) -> Result<(Scope, i64), ReadError> {
        let named = self.source.as_deref().map(|names| sources::find_all(known, names)).transpose()?;
        let keys = |sources: &[&SourceState]| sources.iter().map(|source| source.source_id).collect();
        if self.crypto_id.is_some() || self.symbol.is_some() {
            let ids: Option<Vec<i16>> = named.as_deref().map(keys);
            let filter = CoinFilter {
                crypto_ids: self.crypto_id.as_deref(),
                symbols: self.symbol.as_deref(),
                source_ids: ids.as_deref(),
            };
            let (coins, counts): (_, Vec<i64>) =
                latest::counted_coins(connection, &filter)?.into_iter().unzip();
            return Ok((Scope::Coins(coins), counts.iter().sum()));
        }
        let observations =
            |sources: &[&SourceState]| sources.iter().map(|source| source.observations).sum::<i64>();
        Ok(match named {
            Some(sources) => {
                let names = sources.iter().map(|source| source.name.clone()).collect();
                (Scope::Sources { ids: keys(&sources), names }, observations(&sources))
            }
            None => {
                let sources: Vec<_> = known.iter().filter(|source| source.is_market()).collect();
                (Scope::All(keys(&sources)), observations(&sources))
            }
        })
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
            "Only observations of coins whose newest observation has one of these symbols; the letters A to Z in whatever case.",
            schemas::item(),
        )
        .build(),
        schemas::query(
            "latest",
            "`true`: only the newest observation of each coin of each source.",
            schemas::choice::<Latest>(),
        )
        .build(),
        schemas::list("fields", "Only these fields of the observations.", schemas::word(NAMES))
            .build(),
    ]
}

fn bounds() -> Vec<Parameter> {
    let note = |text: &str| format!("{text} Inclusive. An unknown amount is within no bound.");
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

/// Whether only the newest observations are meant.
#[derive(Clone, Copy, Debug)]
struct Latest(bool);

impl Choice for Latest {
    const ALL: &'static [(&'static str, Self)] = &[("false", Self(false)), ("true", Self(true))];
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
