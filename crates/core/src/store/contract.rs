//! `coin_contracts`: the contract addresses that the listings of the sources give their coins.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
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
