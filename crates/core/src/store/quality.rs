//! `quality_findings`: what the plausibility rules have found, and since when.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};

use super::statement::Statement;
use crate::schema::coin_latest;
use crate::{Decimal, Values, plausibility};

#[derive(Queryable, Selectable)]
#[diesel(table_name = coin_latest, check_for_backend(diesel::pg::Pg))]
struct Newest {
    coin_id: i32,
    observed_at: DateTime<Utc>,
    rank: Option<i32>,
    price_usd: Option<Decimal>,
    market_cap_usd: Option<Decimal>,
    volume_24h_usd: Option<Decimal>,
    change_24h_percent: Option<Decimal>,
    circulating_supply: Option<Decimal>,
    total_supply: Option<Decimal>,
    max_supply: Option<Decimal>,
}

/// Judges the newest observation of every coin by every rule and keeps what is found, in one transaction of its own.
/// Returns how many rules are broken.
///
/// # Errors
/// What the database says.
pub fn check(connection: &mut PgConnection) -> QueryResult<usize> {
    let rows: Vec<Newest> =
        coin_latest::table.order(coin_latest::coin_id).select(Newest::as_select()).load(connection)?;
    let (mut rules, mut coins, mut times, mut evidence) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let values = Values {
            rank: row.rank,
            price_usd: row.price_usd,
            market_cap_usd: row.market_cap_usd,
            volume_24h_usd: row.volume_24h_usd,
            change_24h_percent: row.change_24h_percent,
            circulating_supply: row.circulating_supply,
            total_supply: row.total_supply,
            max_supply: row.max_supply,
        };
        for rule in plausibility::broken(&values) {
            rules.push(rule.name);
            coins.push(row.coin_id);
            times.push(row.observed_at);
            evidence.push(rule.evidence(&values));
        }
    }
    let found = rules.len();
    sql_query(
        "with found as (select * from unnest($1, $2, $3, $4) as f (rule, coin_id, observed_at, evidence)), \
              cleared as (update quality_findings q set cleared_at = clock_timestamp() \
                           where q.cleared_at is null \
                             and not exists (select 1 from found f where f.rule = q.rule and f.coin_id = q.coin_id)) \
         insert into quality_findings as q (rule, coin_id, observed_at, evidence) \
         select rule, coin_id, observed_at, evidence from found order by rule, coin_id \
         on conflict (rule, coin_id) do update \
            set observed_at = excluded.observed_at, evidence = excluded.evidence, last_seen_at = excluded.last_seen_at, \
                first_seen_at = case when q.cleared_at is null then q.first_seen_at else excluded.first_seen_at end, \
                times = case when q.cleared_at is null then q.times + 1 else 1 end, cleared_at = null",
    )
    .bind::<Array<Text>, _>(rules)
    .bind::<Array<Integer>, _>(coins)
    .bind::<Array<Timestamptz>, _>(times)
    .bind::<Array<Text>, _>(evidence)
    .execute(connection)?;
    Ok(found)
}

/// One finding with the names of its coin.
#[derive(Clone, Debug, QueryableByName)]
pub struct Finding {
    /// Name of the rule.
    #[diesel(sql_type = Text)]
    pub rule: String,
    /// Key of the coin.
    #[diesel(sql_type = Integer)]
    pub coin_id: i32,
    /// The readable id of its asset; `None` while it has none.
    #[diesel(sql_type = Nullable<Text>)]
    pub slug: Option<String>,
    /// Name of the source.
    #[diesel(sql_type = Text)]
    pub data_source: String,
    /// The id that the source gives the coin.
    #[diesel(sql_type = Text)]
    pub crypto_id: String,
    /// Time of the observation that broke the rule last, UTC.
    #[diesel(sql_type = Timestamptz)]
    pub observed_at: DateTime<Utc>,
    /// The figures that break it.
    #[diesel(sql_type = Text)]
    pub evidence: String,
    /// Number of checks that found it.
    #[diesel(sql_type = BigInt)]
    pub times: i64,
    /// First of these checks, UTC.
    #[diesel(sql_type = Timestamptz)]
    pub first_seen_at: DateTime<Utc>,
    /// Last of them, UTC.
    #[diesel(sql_type = Timestamptz)]
    pub last_seen_at: DateTime<Utc>,
    /// First check that did not find it any more, UTC; `None` while it holds.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub cleared_at: Option<DateTime<Utc>>,
}

/// Which findings.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Of these rules; `None` is any.
    pub rules: Option<Vec<String>>,
    /// Of coins of these sources; `None` is any.
    pub sources: Option<Vec<String>>,
    /// Those that hold (`true`), those that do not any more (`false`), or both.
    pub open: Option<bool>,
    /// Behind this one, by first check, rule and coin.
    pub behind: Option<(DateTime<Utc>, String, i32)>,
    /// At most so many.
    pub limit: i64,
}

/// Findings, the newest first.
///
/// # Errors
/// What the database says.
pub fn load(connection: &mut PgConnection, wanted: &Wanted) -> QueryResult<Vec<Finding>> {
    let mut conditions = String::from("true");
    if wanted.rules.is_some() {
        conditions.push_str(" and q.rule = any($1)");
    }
    if wanted.sources.is_some() {
        conditions.push_str(" and s.name = any($2)");
    }
    match wanted.open {
        Some(true) => conditions.push_str(" and q.cleared_at is null"),
        Some(false) => conditions.push_str(" and q.cleared_at is not null"),
        None => {}
    }
    if wanted.behind.is_some() {
        conditions.push_str(" and (q.first_seen_at, q.rule, q.coin_id) < ($4, $5, $6)");
    }
    let (time, rule, coin_id) = wanted.behind.clone().unwrap_or_default();
    Statement::new(format!(
        "select q.rule, q.coin_id, a.slug, s.name as data_source, c.crypto_id, q.observed_at, q.evidence, q.times, \
                q.first_seen_at, q.last_seen_at, q.cleared_at \
           from quality_findings q join coins c using (coin_id) join data_sources s using (source_id) \
           left join asset_links k on k.coin_id = q.coin_id and k.ended_at is null \
           left join assets a on a.asset_id = k.asset_id \
          where {conditions} order by q.first_seen_at desc, q.rule desc, q.coin_id desc limit $3"
    ))
    .bind::<Array<Text>, _>(wanted.rules.clone().unwrap_or_default())
    .bind::<Array<Text>, _>(wanted.sources.clone().unwrap_or_default())
    .bind::<BigInt, _>(wanted.limit)
    .bind::<Timestamptz, _>(time)
    .bind::<Text, _>(rule)
    .bind::<Integer, _>(coin_id)
    .load(connection)
}

/// How many findings hold, by rule.
///
/// # Errors
/// What the database says.
pub fn open_by_rule(connection: &mut PgConnection) -> QueryResult<Vec<(String, i64)>> {
    use crate::schema::quality_findings as t;
    t::table
        .filter(t::cleared_at.is_null())
        .group_by(t::rule)
        .select((t::rule, diesel::dsl::count_star()))
        .load(connection)
}
