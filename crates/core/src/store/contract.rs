//! `coin_contracts`: the contract addresses that the listings of the sources give their coins.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Bool, SmallInt, Text};
use serde::Serialize;

use crate::schema::coin_contracts;

/// A contract address of a coin of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = coin_contracts, check_for_backend(diesel::pg::Pg))]
pub struct Contract {
    /// The market source whose id it is.
    pub source_id: i16,
    /// The id that the source gives the coin; it may never have been priced.
    pub crypto_id: String,
    /// Chain, under one name for all sources.
    pub chain: String,
    /// Lower case where the chain ignores case.
    pub address: String,
    /// UTC.
    pub first_seen_at: DateTime<Utc>,
}

/// The addresses that a source gives one of its coins at present, by chain.
///
/// # Errors
/// What the database says.
pub fn of_coin(connection: &mut PgConnection, source_id: i16, crypto_id: &str) -> QueryResult<Vec<Contract>> {
    coin_contracts::table
        .filter(coin_contracts::source_id.eq(source_id))
        .filter(coin_contracts::crypto_id.eq(crypto_id))
        .filter(coin_contracts::ended_at.is_null())
        .order((coin_contracts::chain, coin_contracts::address))
        .select(Contract::as_select())
        .load(connection)
}

/// What a listing says of one id: its addresses, and whether the source calls it active.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// As the source says it; `None` when the listing does not tell.
    pub is_active: Option<bool>,
    /// Chain and address, normalised.
    pub contracts: std::collections::BTreeSet<(String, String)>,
}

/// An address of a coin.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Address {
    /// Key of the source.
    #[diesel(sql_type = SmallInt)]
    pub source_id: i16,
    /// The id that it gives the coin.
    #[diesel(sql_type = Text)]
    pub crypto_id: String,
    /// Chain, as the source calls it.
    #[diesel(sql_type = Text)]
    pub chain: String,
    /// Normalised.
    #[diesel(sql_type = Text)]
    pub address: String,
    /// Whether the listing has it still.
    #[diesel(sql_type = Bool)]
    pub is_present: bool,
}

/// Every present address, and of ids that have none those that they had; by source, id, chain and address.
///
/// # Errors
/// What the database says.
pub fn all(connection: &mut PgConnection) -> QueryResult<Vec<Address>> {
    sql_query(
        "select source_id, crypto_id, chain, address, c.ended_at is null as is_present \
           from coin_contracts c \
          where c.ended_at is null \
             or not exists (select from coin_contracts p \
                             where p.source_id = c.source_id and p.crypto_id = c.crypto_id and p.ended_at is null) \
          order by source_id, crypto_id, chain, address",
    )
    .load(connection)
}

/// How many rows a listing changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Addresses that were not known, or are back.
    pub new: i64,
    /// Addresses that the listing does not have any more.
    pub gone: i64,
    /// Ids that are new, gone, back, or changed their activity.
    pub ids: i64,
}

/// Brings the addresses and ids of a source to what its listing says now; writes only what differs.
///
/// # Errors
/// What the database says.
pub fn replace(
    connection: &mut PgConnection,
    source_id: i16,
    listed: &std::collections::BTreeMap<String, Listed>,
) -> QueryResult<Changed> {
    let addresses = || {
        listed
            .iter()
            .flat_map(|(id, one)| one.contracts.iter().map(move |(chain, address)| (id, chain, address)))
    };
    let column = |of: fn(&(&String, &String, &String)) -> String| -> Vec<String> {
        addresses().map(|row| of(&row)).collect()
    };
    let (ids, chains, texts) =
        (column(|row| row.0.clone()), column(|row| row.1.clone()), column(|row| row.2.clone()));
    let gone = sql_query(
        "update coin_contracts c set ended_at = clock_timestamp() \
          where source_id = $1 and ended_at is null \
            and not exists (select 1 from unnest($2, $3, $4) as n (crypto_id, chain, address) \
                             where (n.crypto_id, n.chain, n.address) = (c.crypto_id, c.chain, c.address))",
    )
    .bind::<SmallInt, _>(source_id)
    .bind::<Array<Text>, _>(&ids)
    .bind::<Array<Text>, _>(&chains)
    .bind::<Array<Text>, _>(&texts)
    .execute(connection)?;
    let new = sql_query(
        "insert into coin_contracts as c (source_id, crypto_id, chain, address) \
         select $1, n.* from unnest($2, $3, $4) as n \
         on conflict (source_id, crypto_id, chain, address) do update set ended_at = null where c.ended_at is not null",
    )
    .bind::<SmallInt, _>(source_id)
    .bind::<Array<Text>, _>(&ids)
    .bind::<Array<Text>, _>(&chains)
    .bind::<Array<Text>, _>(&texts)
    .execute(connection)?;
    let told: Vec<(&String, bool)> =
        listed.iter().filter_map(|(id, one)| Some((id, one.is_active?))).collect();
    let (ids, active): (Vec<&String>, Vec<bool>) = told.into_iter().unzip();
    let left = sql_query(
        "update listed_coins c set ended_at = clock_timestamp() \
          where source_id = $1 and ended_at is null \
            and not exists (select 1 from unnest($2) as n (crypto_id) where n.crypto_id = c.crypto_id)",
    )
    .bind::<SmallInt, _>(source_id)
    .bind::<Array<Text>, _>(&ids)
    .execute(connection)?;
    let came = sql_query(
        "insert into listed_coins as c (source_id, crypto_id, is_active) select $1, n.* from unnest($2, $3) as n \
         on conflict (source_id, crypto_id) do update set ended_at = null, is_active = excluded.is_active \
           where c.ended_at is not null or c.is_active <> excluded.is_active",
    )
    .bind::<SmallInt, _>(source_id)
    .bind::<Array<Text>, _>(&ids)
    .bind::<Array<Bool>, _>(&active)
    .execute(connection)?;
    Ok(Changed { new: new as i64, gone: gone as i64, ids: (left + came) as i64 })
}
