//! The layout of a file whose bytes are kept in the database, found again from its beginning.

use std::path::Path;

use kasparro_core::store::layout::{self, Format, Origin};

use super::head::{HEAD_BYTES, Head};
use super::layout::{Figures, Layout};
use super::map::CsvMap;
use crate::failure::{FailureKind, SourceError};

/// How many bytes of the beginning of a file settle its layout.
pub(crate) const BEGINNING_BYTES: usize = HEAD_BYTES;

/// The layout of a file from its beginning, at most [`BEGINNING_BYTES`], and what is declared about it today.
///
/// # Errors
/// [`FailureKind::Refused`] when they cannot be read without guessing.
pub(crate) fn layout_of(path: &str, beginning: &[u8], map: &CsvMap) -> Result<Layout, SourceError> {
    let refused = |reason: String| SourceError::new(FailureKind::Refused, format!("{path}: {reason}"));
    if beginning.is_empty() {
        return Err(refused("its beginning is not kept, so its columns are not known".to_owned()));
    }
    let declared = &*map.of(Path::new(path));
    let head = Head::read(beginning, beginning.len() < BEGINNING_BYTES, declared).map_err(refused)?;
    // What it leaves out was said when the file was read.
    Layout::of(&head, declared, &mut Vec::new()).map_err(refused)
}

impl Layout {
    /// Where the fields come from, for whoever looks an observation up.
    pub(crate) fn declared(&self) -> layout::Layout {
        let Figures { price, rank, market_cap, volume, change, circulating_supply, total_supply, max_supply } =
            self.figures;
        let columns = [
            ("crypto_id", self.coin.id),
            ("crypto_name", self.coin.name),
            ("symbol", self.coin.symbol),
            ("observed_at", self.time.as_ref().map(|time| time.column)),
            ("rank", rank),
            ("price_usd", Some(price)),
            ("market_cap_usd", market_cap),
            ("volume_24h_usd", volume),
            ("change_24h_percent", change.map(|change| change.column)),
            ("circulating_supply", circulating_supply),
            ("total_supply", total_supply),
            ("max_supply", max_supply),
        ];
        let origin = |(field, column): (&str, Option<usize>)| {
            Some(Origin {
                field: field.to_owned(),
                origin: self.header.get(column?)?.clone(),
                column,
                // Listings write 0 for "unranked"; any other zero is a zero.
                zero_is_unknown: field == "rank",
            })
        };
        layout::Layout {
            format: Format::Csv,
            delimiter: Some(char::from(self.delimiter)),
            fields: columns.into_iter().filter_map(origin).collect(),
        }
    }

    /// Whether the rows carry a time.
    pub(crate) fn has_times(&self) -> bool {
        self.time.is_some()
    }
}
