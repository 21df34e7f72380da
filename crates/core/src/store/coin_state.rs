//! `coin_states`: whether a source still has a coin.

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Nullable, SmallInt, Text};
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
/// has the ids in it), and its newest listing. Writes only what changes; returns how many. Part of a transaction.
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
        "with seen as (select c.coin_id, m.migrated_to, s.state as before, \
                case when $2 is null then coalesce(s.state = 'active', true) else p.crypto_id is not null end as is_priced, \
                l.is_active, l.crypto_id is not null as is_listed \
           from coins c \
           left join coin_states s on s.coin_id = c.coin_id and s.until is null \
           left join (select unnest($2) as crypto_id) p on p.crypto_id = c.crypto_id \
           left join unnest($3, $4) as m (crypto_id, migrated_to) on m.crypto_id = c.crypto_id \
           left join listed_coins l on l.source_id = c.source_id and l.crypto_id = c.crypto_id and l.ended_at is null \
          where c.source_id = $1), \
         present as (select coin_id, before, migrated_to, \
                case when migrated_to is not null then 'migrated' \
                     when is_priced then 'active' \
                     when is_active = false then 'inactive' \
                     when is_listed then 'out_of_window' \
                     else 'missing' end as state \
           from seen), \
         changed as (select * from present where before is distinct from state), \
         ended as (update coin_states s set until = clock_timestamp() from changed c \
                    where s.coin_id = c.coin_id and s.until is null returning s.coin_id) \
         insert into coin_states (coin_id, state, since, migrated_to) \
         select c.coin_id, c.state, clock_timestamp(), case when c.state = 'migrated' then c.migrated_to end \
           from changed c left join ended e using (coin_id)",
    )
    .bind::<SmallInt, _>(source_id)
    .bind::<Nullable<Array<Text>>, _>(priced)
    .bind::<Array<Text>, _>(migrations.iter().map(|(from, _)| *from).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(migrations.iter().map(|(_, to)| *to).collect::<Vec<_>>())
    .execute(connection)
}
