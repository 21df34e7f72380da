//! The version of what the tables show: one tiny row per source, written by the transaction of each batch.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;

use super::source;
use crate::schema::data_sources;

/// The state of one source after its newest committed batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = data_sources, check_for_backend(diesel::pg::Pg))]
pub struct SourceState {
    /// Key of the source.
    pub source_id: i16,
    /// Name of the source.
    pub name: String,
    /// `market`, `listing` or `identity`; the latter two deliver no observations.
    pub kind: String,
    /// Number of its observations.
    pub observations: i64,
    /// Number of records inside its raw bodies or chunks.
    pub raw_records: i64,
    /// Number of its newest committed batch, 0 before the first.
    pub batch_number: i64,
    /// When that batch was written, UTC; `None` before the first.
    pub last_batch_at: Option<DateTime<Utc>>,
}

impl SourceState {
    /// Whether it delivers observations. The others are part of the version, and of no list that is shown.
    pub fn is_market(&self) -> bool {
        self.kind == source::MARKET
    }
}

/// Every source by name. Two equal answers mean that no batch was committed in between, so whatever was read
/// between them belongs to this version: a snapshot without a transaction, which a pooler could not keep.
///
/// # Errors
/// What the database says.
pub fn sources(connection: &mut PgConnection) -> QueryResult<Vec<SourceState>> {
    data_sources::table.order(data_sources::name).select(SourceState::as_select()).load(connection)
}

/// One number for all of it: it grows with each committed batch. A statement that reads data may tell it along with its
/// rows, which spares a second one.
pub fn number(sources: &[SourceState]) -> i64 {
    sources.iter().map(|source| source.batch_number).sum()
}

/// When the newest batch of any source was written, UTC, by the clock of the database; `None` before the first.
pub fn newest_batch_at(sources: &[SourceState]) -> Option<DateTime<Utc>> {
    sources.iter().filter_map(|source| source.last_batch_at).max()
}
