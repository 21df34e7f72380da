//! `coin_states`: whether a source still has a coin.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
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
