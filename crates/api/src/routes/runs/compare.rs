//! `GET /runs/compare`: two launches beside each other: counts, durations, and what they say of each coin.

use std::ops::RangeInclusive;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use kasparro_core::Decimal;
use kasparro_core::robust::{self, Habit};
use kasparro_core::store::run_diff::{self, Coverage, Move, Named};
use kasparro_core::store::run_log::{self, Launch};
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::{Run, RunSource, run_number, unknown_run};
use crate::answer::Rendered;
use crate::db::{Connection, ReadError};
use crate::params::Params;
use crate::problem::{ParameterError, Problem};
use crate::schemas;
use crate::snapshot::Snapshots;

const LIMITS: RangeInclusive<u32> = 1..=500;
const DEFAULT_LIMIT: u32 = 20;
const SCORES: RangeInclusive<u32> = 1..=1000;
const DEFAULT_SCORE: u32 = 5;
const MAX_ID_CHARS: usize = 20;

/// How many moves before the first launch are a coin's habit.
const WINDOW: i64 = 30;

/// Fewer moves than that are no habit.
const LEAST_MOVES: usize = 8;

/// Two launches beside each other.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Comparison {
    /// The first launch.
    a: Run,
    /// The second launch.
    b: Run,
    /// What the second has more than the first; negative when it has less.
    difference: Difference,
    /// The sources of either, by name.
    sources: Vec<SourceComparison>,
    /// Coins that only the second was about.
    added: Coins,
    /// Coins that only the first was about.
    gone: Coins,
    /// Coins whose price moved beyond their own habit.
    moved: Moves,
}

/// What the second launch has more than the first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Difference {
    /// Records read.
    #[schema(example = 12)]
    records_processed: i64,
    /// Seconds; null while either runs.
    #[schema(example = -0.4)]
    duration_seconds: Option<f64>,
}

/// One source in two launches.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceComparison {
    /// Name of the source.
    #[schema(example = "coinpaprika")]
    source: String,
    /// In the first launch; null when that did not have it.
    a: Option<RunSource>,
    /// In the second launch; null when that did not have it.
    b: Option<RunSource>,
    /// Whether its coins are compared.
    #[schema(example = true)]
    is_compared: bool,
    /// Why not; null when they are.
    #[schema(example = json!(null))]
    why_not: Option<String>,
}

/// Some coins, and how many there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Coins {
    /// How many there are; exact.
    #[schema(example = 3, minimum = 0)]
    total: usize,
    /// The first of them by rank.
    items: Vec<CoinItem>,
}

/// A coin.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CoinItem {
    /// Name of the source.
    #[schema(example = "coinpaprika")]
    data_source: String,
    /// The id that the source gives the coin.
    #[schema(example = "btc-bitcoin")]
    crypto_id: String,
    /// As sent last.
    #[schema(example = "Bitcoin")]
    crypto_name: Option<String>,
    /// As sent last.
    #[schema(example = "BTC")]
    symbol: Option<String>,
    /// Rank by market capitalisation as sent last.
    #[schema(example = 1, minimum = 1)]
    rank: Option<i32>,
    /// Time of its newest observation, UTC.
    #[schema(example = "2026-11-23T14:59:02Z")]
    observed_at: DateTime<Utc>,
}

/// Moves beyond habit.
///
/// A move is the logarithm of the ratio of two prices: the one that each launch knew by its end. The habit of a coin is the
/// median and the spread (median absolute deviation, scaled to a standard deviation) of its last 30 moves from one
/// observation to the next, before the first launch's. A move over the time of n usual steps may be √n times as wide. `robust_z` is
/// how many spreads the move is from the median.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Moves {
    /// How many coins moved beyond their habit; exact.
    #[schema(example = 2, minimum = 0)]
    total: usize,
    /// From which `robust_z` on, in either direction.
    #[schema(example = 5, minimum = 1)]
    min_z: u32,
    /// How many moves are a habit at most.
    #[schema(example = 30)]
    window: i64,
    /// Coins with another price, for which fewer than 8 moves are known: not judged.
    #[schema(example = 12, minimum = 0)]
    without_habit: usize,
    /// The furthest beyond their habit first; those that had never moved before all others.
    items: Vec<MoveItem>,
}

/// A coin that moved beyond its habit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MoveItem {
    /// The coin.
    #[serde(flatten)]
    coin: CoinItem,
    /// What the first launch knew: US dollars per coin.
    #[schema(value_type = f64, example = json!(83880.715899371), minimum = 0)]
    from_price_usd: Decimal,
    /// When that was observed, UTC.
    #[schema(example = "2026-11-23T14:59:02Z")]
    from_observed_at: DateTime<Utc>,
    /// What the second launch knew: US dollars per coin.
    #[schema(value_type = f64, example = json!(60000.5), minimum = 0)]
    to_price_usd: Decimal,
    /// When that was observed, UTC.
    #[schema(example = "2026-11-23T15:14:02Z")]
    to_observed_at: DateTime<Utc>,
    /// The move in percent of the first price, rounded to 4 digits.
    #[schema(example = -28.4693)]
    change_percent: f64,
    /// How far it is beyond the habit; null when the coin had never moved within the window.
    #[schema(example = -41.2)]
    robust_z: Option<f64>,
    /// How many moves the habit rests on.
    #[schema(example = 30, minimum = 8)]
    moves: usize,
}

/// Parameters of `GET /runs/compare`.
struct Query {
    a: String,
    b: String,
    min_z: u32,
    limit: u32,
}

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let run = |name, text| {
            schemas::query(name, text, schemas::text(MAX_ID_CHARS)).required(utoipa::openapi::Required::True)
        };
        vec![
            run("a", "`run_id` of the first launch.").example(Some(json!("41"))).build(),
            run("b", "`run_id` of the second launch.").example(Some(json!("42"))).build(),
            schemas::query(
                "min_z",
                "From how many usual distances on a move is beyond habit.",
                schemas::number(&SCORES, DEFAULT_SCORE),
            )
            .build(),
            schemas::query("limit", "Most coins of each list.", schemas::number(&LIMITS, DEFAULT_LIMIT))
                .build(),
        ]
    }
}

impl Query {
    fn parse(request: &HttpRequest) -> Result<Self, Problem> {
        let mut params = Params::of(request)?;
        let [a, b] = ["a", "b"].map(|name| params.text(name, MAX_ID_CHARS));
        let query = Self {
            a: a.clone().unwrap_or_default(),
            b: b.clone().unwrap_or_default(),
            min_z: params.number("min_z", SCORES, DEFAULT_SCORE),
            limit: params.number("limit", LIMITS, DEFAULT_LIMIT),
        };
        params.finish()?;
        let wrong = |name: &str, message: &str| ParameterError {
            parameter: name.to_owned(),
            message: message.to_owned(),
            allowed: "`run_id` of a launch, another one for each of the two".to_owned(),
        };
        let missing = [("a", &a), ("b", &b)].into_iter().filter(|(_, given)| given.is_none());
        let mut errors: Vec<ParameterError> = missing.map(|(name, _)| wrong(name, "it is missing")).collect();
        if a.is_some() && a == b {
            errors.push(wrong("b", "it is the same launch as `a`"));
        }
        if errors.is_empty() { Ok(query) } else { Err(Problem::parameters(errors)) }
    }
}

/// Compares two launches: counts and durations, and by value: coins that came and went, and prices that moved beyond
/// their own habit.
///
/// A launch is about the coins of the records that it accepted, new or not. Coins are compared for each source that both
/// launches have loaded to the end.
#[utoipa::path(get, path = "/runs/compare", tag = "runs", operation_id = "compare_runs", params(Query), responses(
    (status = 200, description = "The differences.", body = Comparison, headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn compare(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
) -> Result<HttpResponse, Problem> {
    let query = Query::parse(&request)?;
    let name = json!(["compare", query.a, query.b, query.min_z, query.limit]).to_string();
    snapshots.at_once(&request, name, move |connection, _| Rendered::json(&read(&query, connection)?)).await
}

fn read(query: &Query, connection: &mut Connection) -> Result<Comparison, ReadError> {
    let (a, b) = (launch(connection, &query.a)?, launch(connection, &query.b)?);
    let covered = run_diff::coverage(connection, a.run_id, b.run_id)?;
    let sources = beside(connection, &a, &b, &covered)?;
    let is_compared = |name: &str| sources.iter().any(|one| one.is_compared && one.source == name);
    let compared: Vec<&Coverage> = covered.iter().filter(|one| is_compared(&one.source)).collect();
    let added = coins(connection, &compared, query.limit, |one| &one.added)?;
    let gone = coins(connection, &compared, query.limit, |one| &one.gone)?;
    let moved = moved(connection, &compared, [&a, &b], query)?;
    let durations = (super::duration(a.started_at, a.ended_at), super::duration(b.started_at, b.ended_at));
    Ok(Comparison {
        difference: Difference {
            records_processed: b.records_processed - a.records_processed,
            // Both have microseconds.
            duration_seconds: durations.1.zip(durations.0).map(|(b, a)| ((b - a) * 1e6).round() / 1e6),
        },
        sources,
        added,
        gone,
        moved,
        a: a.into(),
        b: b.into(),
    })
}

fn launch(connection: &mut Connection, id: &str) -> Result<Launch, ReadError> {
    let found = match run_number(id) {
        Some(number) => run_log::find(connection, number)?,
        None => None,
    };
    Ok(found.ok_or_else(|| unknown_run(id))?)
}

/// The sources of both, with the reasons why some cannot be compared.
fn beside(
    connection: &mut Connection,
    a: &Launch,
    b: &Launch,
    covered: &[Coverage],
) -> Result<Vec<SourceComparison>, ReadError> {
    let mut all: std::collections::BTreeMap<String, [Option<RunSource>; 2]> = Default::default();
    for (place, run_id) in [a.run_id, b.run_id].into_iter().enumerate() {
        for found in run_log::sources(connection, run_id)? {
            let source = RunSource::from(found);
            let name = source.source.clone();
            all.entry(name).or_default()[place] = Some(source);
        }
    }
    let compared = all.into_iter().map(|(source, [a, b])| {
        let ended_well = |run: &Option<RunSource>| run.as_ref().is_some_and(|run| run.status == "succeeded");
        let coverage = covered.iter().find(|one| one.source == source);
        let why_not = match (ended_well(&a), ended_well(&b), coverage) {
            (false, _, _) => Some("the first launch has not loaded it to the end"),
            (_, false, _) => Some("the second launch has not loaded it to the end"),
            (_, _, None) => Some("one of the launches found nothing to read"),
            (_, _, Some(found)) if !found.is_known => {
                Some("one of the launches is of a version that did not note its coins")
            }
            _ => None,
        };
        SourceComparison { source, a, b, is_compared: why_not.is_none(), why_not: why_not.map(str::to_owned) }
    });
    Ok(compared.collect())
}

fn coins(
    connection: &mut Connection,
    compared: &[&Coverage],
    limit: u32,
    of: impl Fn(&Coverage) -> &Vec<i32>,
) -> Result<Coins, ReadError> {
    let total = compared.iter().map(|one| of(one).len()).sum();
    let all: Vec<i32> = compared.iter().flat_map(|one| of(one)).copied().collect();
    let named = run_diff::named(connection, &all, i64::from(limit))?;
    let items = named.into_iter().map(|coin| {
        let source = compared.iter().find(|one| of(one).binary_search(&coin.coin_id).is_ok());
        CoinItem::of(coin, source.map_or("", |one| &one.source))
    });
    Ok(Coins { total, items: items.collect() })
}

impl CoinItem {
    fn of(coin: Named, source: &str) -> Self {
        Self {
            data_source: source.to_owned(),
            crypto_id: coin.crypto_id,
            crypto_name: coin.crypto_name,
            symbol: coin.symbol,
            rank: coin.rank,
            observed_at: coin.observed_at,
        }
    }
}

/// A move with its judgement.
struct Judged {
    found: Move,
    score: Option<f64>,
    moves: usize,
}

impl Judged {
    /// Infinitely far when the coin had never moved.
    fn distance(&self) -> f64 {
        self.score.map_or(f64::INFINITY, f64::abs)
    }
}

fn moved(
    connection: &mut Connection,
    compared: &[&Coverage],
    [a, b]: [&Launch; 2],
    query: &Query,
) -> Result<Moves, ReadError> {
    let both: Vec<i32> = compared.iter().flat_map(|one| &one.both).copied().collect();
    let end = |run: &Launch| run.ended_at.unwrap_or_else(Utc::now);
    let found = run_diff::moves(connection, &both, [end(a), end(b)], WINDOW)?;
    let mut without_habit = 0;
    let mut judged: Vec<Judged> = Vec::new();
    for one in found {
        match judge(&one) {
            None => without_habit += 1,
            Some((score, moves)) => judged.push(Judged { found: one, score, moves }),
        }
    }
    judged.retain(|one| one.distance() >= f64::from(query.min_z));
    judged.sort_by(|x, y| {
        let by_change = || y.found.change.abs().total_cmp(&x.found.change.abs());
        y.distance().total_cmp(&x.distance()).then_with(by_change).then(x.found.coin_id.cmp(&y.found.coin_id))
    });
    let total = judged.len();
    judged.truncate(query.limit as usize);
    let ids: Vec<i32> = judged.iter().map(|one| one.found.coin_id).collect();
    let named = run_diff::named(connection, &ids, i64::from(query.limit))?;
    let item = |one: Judged| {
        let coin = named.iter().find(|coin| coin.coin_id == one.found.coin_id)?.clone();
        let source = compared.iter().find(|source| source.both.binary_search(&coin.coin_id).is_ok());
        Some(MoveItem {
            coin: CoinItem::of(coin, source.map_or("", |one| &one.source)),
            from_price_usd: one.found.from_price,
            from_observed_at: one.found.from_time,
            to_price_usd: one.found.to_price,
            to_observed_at: one.found.to_time,
            change_percent: rounded(one.found.change.exp_m1() * 100.0, 1e4),
            robust_z: one.score.map(|score| rounded(score, 1e2)),
            moves: one.moves,
        })
    };
    Ok(Moves {
        total,
        min_z: query.min_z,
        window: WINDOW,
        without_habit,
        items: judged.into_iter().filter_map(item).collect(),
    })
}

/// How far a move is beyond the habit, and how many moves that rests on; `None` when they are too few. The score is
/// `None` when the coin had never moved.
fn judge(found: &Move) -> Option<(Option<f64>, usize)> {
    let moves: Vec<f64> = found.earlier.windows(2).map(|pair| pair[0] - pair[1]).collect();
    if moves.len() < LEAST_MOVES {
        return None;
    }
    let steps = found.times.windows(2).map(|pair| pair[0] - pair[1]).collect();
    let usual_step = robust::median(steps)?;
    let elapsed = (found.to_time - found.from_time).as_seconds_f64().abs();
    // A random walk goes √n times as far in n steps; never less than one step is allowed for.
    let steps = if usual_step > 0.0 { (elapsed / usual_step).max(1.0) } else { 1.0 };
    let habit = Habit::of(&moves)?;
    let widened = Habit { middle: habit.middle * steps, spread: habit.spread * steps.sqrt() };
    Some((widened.score(found.change), moves.len()))
}

fn rounded(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moving(earlier: &[f64], to_seconds: i64, change: f64) -> Move {
        let from_time = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        Move {
            coin_id: 1,
            from_price: Decimal::parse("1").unwrap(),
            from_time,
            to_price: Decimal::parse("2").unwrap(),
            to_time: from_time + chrono::TimeDelta::seconds(to_seconds),
            change,
            earlier: earlier.to_vec(),
            times: (0..earlier.len()).map(|n| 1_700_000_000.0 - 300.0 * n as f64).collect(),
        }
    }

    #[test]
    fn a_move_is_judged_by_the_coins_own_habit() {
        let calm: Vec<f64> = (0..31).map(|n| f64::from(n % 2) * 0.001).collect();
        let wild: Vec<f64> = (0..31).map(|n| f64::from(n % 2) * 0.2).collect();
        let score = |earlier: &[f64], seconds| judge(&moving(earlier, seconds, 0.1)).unwrap().0.unwrap();
        assert!(score(&calm, 300) > 50.0, "{}", score(&calm, 300));
        assert!(score(&wild, 300) < 1.0, "{}", score(&wild, 300));
        let (near, far) = (score(&calm, 300), score(&calm, 300 * 100));
        assert!((near / far - 10.0).abs() < 0.01, "over 100 steps it may go ten times as far: {near} {far}");
    }

    #[test]
    fn no_habit_is_no_judgement_and_a_first_move_is_beyond_all_habit() {
        assert!(judge(&moving(&[0.0; 8], 300, 0.1)).is_none());
        assert_eq!(judge(&moving(&[0.0; 9], 300, 0.1)), Some((None, 8)));
    }
}
