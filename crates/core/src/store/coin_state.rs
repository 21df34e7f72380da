//! `coin_states`: whether a source still has a coin.

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Integer, Nullable, SmallInt, Text};
use serde::Serialize;

use crate::schema::coin_states;

/// The state of a coin of a source over a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = coin_states, check_for_backend(diesel::pg::Pg))]
pub struct CoinState {
    /// Key of the coin.
    pub coin_id: i32,
    /// `active`, `out_of_window`, `missing`, `inactive` or `migrated`.
    pub state: String,
    /// UTC.
    pub since: DateTime<Utc>,
    /// UTC; null for the present state.
    pub until: Option<DateTime<Utc>>,
    /// The id under which the same source goes on; null unless migrated.
    pub migrated_to: Option<String>,
    /// How that is known: `declared`, `contract` or `name`; null unless migrated.
    pub migrated_by: Option<String>,
}

/// The present states of these coins, by coin.
///
/// # Errors
/// What the database says.
pub fn present(connection: &mut PgConnection, coin_ids: &[i32]) -> QueryResult<Vec<CoinState>> {
    coin_states::table
        .filter(coin_states::coin_id.eq_any(coin_ids).and(coin_states::until.is_null()))
        .order(coin_states::coin_id)
        .select(CoinState::as_select())
        .load(connection)
}

/// Brings the states of all coins of a source to what was seen: a complete read of its prices if there was one (`priced`
/// has the ids in it), its newest listing, and the `migrations` that are declared. An id whose migration was noticed stays
/// migrated until it is priced again. Writes only what changes; returns how many. Part of a transaction.
///
/// # Errors
/// What the database says.
pub fn refresh(
    connection: &mut PgConnection,
    source_id: i16,
    priced: Option<&[&str]>,
    migrations: &[(&str, &str)],
) -> QueryResult<usize> {
    // Coins, listing and states are read whole, often right after they were filled for the first time, when the planner
    // believes them to be small: one pair after the other took 22 s for 20,000 coins, a hash takes 0.04 s.
    connection.batch_execute("set local enable_nestloop = off")?;
    let changed = write_changes(connection, source_id, priced, migrations)?;
    connection.batch_execute("set local enable_nestloop to default")?;
    Ok(changed)
}

fn write_changes(
    connection: &mut PgConnection,
    source_id: i16,
    priced: Option<&[&str]>,
    migrations: &[(&str, &str)],
) -> QueryResult<usize> {
    sql_query(
        "with seen as (select c.coin_id, m.migrated_to as declared_to, s.state as before, s.migrated_to as before_to, s.migrated_by, \
                case when $2 is null then coalesce(s.state = 'active', true) else p.crypto_id is not null end as is_priced, \
                l.is_active, l.crypto_id is not null as is_listed \
           from coins c \
           left join coin_states s on s.coin_id = c.coin_id and s.until is null \
           left join (select unnest($2) as crypto_id) p on p.crypto_id = c.crypto_id \
           left join unnest($3, $4) as m (crypto_id, migrated_to) on m.crypto_id = c.crypto_id \
           left join listed_coins l on l.source_id = c.source_id and l.crypto_id = c.crypto_id and l.ended_at is null \
          where c.source_id = $1), \
         known as (select *, coalesce(declared_to, case when migrated_by <> 'declared' and not is_priced then before_to end) as migrated_to \
           from seen), \
         present as (select coin_id, before, before_to, migrated_to, \
                case when declared_to is not null then 'declared' when migrated_to is not null then migrated_by end as migrated_by, \
                case when migrated_to is not null then 'migrated' \
                     when is_priced then 'active' \
                     when is_active = false then 'inactive' \
                     when is_listed then 'out_of_window' \
                     else 'missing' end as state \
           from known), \
         changed as (select * from present where (before, before_to) is distinct from (state, migrated_to)), \
         ended as (update coin_states s set until = clock_timestamp() from changed c \
                    where s.coin_id = c.coin_id and s.until is null returning s.coin_id) \
         insert into coin_states (coin_id, state, since, migrated_to, migrated_by) \
         select c.coin_id, c.state, clock_timestamp(), c.migrated_to, c.migrated_by \
           from changed c left join ended e using (coin_id)",
    )
    .bind::<SmallInt, _>(source_id)
    .bind::<Nullable<Array<Text>>, _>(priced)
    .bind::<Array<Text>, _>(migrations.iter().map(|(from, _)| *from).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(migrations.iter().map(|(_, to)| *to).collect::<Vec<_>>())
    .execute(connection)
}

/// An id under which its source goes on with a coin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Key of the coin that went.
    pub coin_id: i32,
    /// The new id.
    pub to: String,
    /// `contract` or `name`.
    pub by: &'static str,
}

/// Notes migrations that were noticed. Part of a transaction.
///
/// # Errors
/// What the database says.
pub fn migrate(connection: &mut PgConnection, migrated: &[Migrated]) -> QueryResult<()> {
    let ids: Vec<i32> = migrated.iter().map(|one| one.coin_id).collect();
    sql_query(
        "with new as (select * from unnest($1, $2, $3) as n (coin_id, migrated_to, migrated_by)), \
         ended as (update coin_states s set until = clock_timestamp() from new n \
                    where s.coin_id = n.coin_id and s.until is null returning s.coin_id) \
         insert into coin_states (coin_id, state, since, migrated_to, migrated_by) \
         select n.coin_id, 'migrated', clock_timestamp(), n.migrated_to, n.migrated_by \
           from new n left join ended e using (coin_id)",
    )
    .bind::<Array<Integer>, _>(&ids)
    .bind::<Array<Text>, _>(migrated.iter().map(|one| one.to.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(migrated.iter().map(|one| one.by).collect::<Vec<_>>())
    .execute(connection)?;
    Ok(())
}
