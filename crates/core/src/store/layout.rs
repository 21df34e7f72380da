//! `record_layouts`: which field of the unified record comes from where in the raw records of a source.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer, Jsonb, Nullable, Text};
use serde::{Deserialize, Serialize};

use crate::schema::record_layouts;

/// How the raw records of a source, or of one generation of a file, are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// What the bytes are a list of.
    pub format: Format,
    /// What separates the cells of a row; `None` for JSON.
    pub delimiter: Option<char>,
    /// The fields that are taken.
    pub fields: Vec<Origin>,
}

/// What raw bytes are a list of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Elements of a JSON list.
    Json,
    /// Rows of a CSV file.
    Csv,
}

/// Where a field of the unified record comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The field, as observations call it.
    pub field: String,
    /// Path of members in the raw record, with points between them, or the name of the column.
    pub origin: String,
    /// Number of the column, from 0; `None` for JSON.
    pub column: Option<usize>,
    /// Whether the source writes zero for "not known".
    pub zero_is_unknown: bool,
}

/// Notes how records are read; `file` is the key and generation of a file. What is noted already costs a look.
///
/// # Errors
/// What the database says.
pub fn declare(
    connection: &mut PgConnection,
    source: &str,
    file: Option<(i64, i32)>,
    layout: &Layout,
) -> QueryResult<()> {
    let shape =
        serde_json::to_value(layout).map_err(|e| diesel::result::Error::SerializationError(e.into()))?;
    sql_query(
        "insert into record_layouts as known (source, file_id, generation, layout) values ($1, $2, $3, $4) \
         on conflict (source, coalesce(file_id, 0), coalesce(generation, 0)) \
         do update set layout = excluded.layout, declared_at = clock_timestamp() \
          where known.layout is distinct from excluded.layout",
    )
    .bind::<Text, _>(source)
    .bind::<Nullable<BigInt>, _>(file.map(|(file_id, _)| file_id))
    .bind::<Nullable<Integer>, _>(file.map(|(_, generation)| generation))
    .bind::<Jsonb, _>(shape)
    .execute(connection)
    .map(drop)
}

/// How the records of a source or of one generation of a file are read; `None` when it was never noted.
///
/// # Errors
/// What the database says, and when the row is not of this version of the program.
pub fn find(
    connection: &mut PgConnection,
    source: &str,
    file: Option<(i64, i32)>,
) -> QueryResult<Option<Layout>> {
    use record_layouts as t;
    let mut query = t::table.filter(t::source.eq(source)).select(t::layout).into_boxed();
    query = match file {
        None => query.filter(t::file_id.is_null()),
        Some((file_id, generation)) => query.filter(t::file_id.eq(file_id).and(t::generation.eq(generation))),
    };
    let found: Option<serde_json::Value> = query.first(connection).optional()?;
    found
        .map(|shape| {
            serde_json::from_value(shape)
                .map_err(|error| diesel::result::Error::DeserializationError(error.into()))
        })
        .transpose()
}
