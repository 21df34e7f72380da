//! Looks a file over before any of its rows is loaded.

use std::path::Path;

use super::chunk::{ChunkError, Chunker};
use super::columns::Role;
use super::file::Plan;
use super::head::{HEAD_BYTES, Head};
use super::layout::Layout;
use super::map::Declared;
use super::paths::{cannot_read, shrunk};
use super::records::{Records, is_blank};
use super::row::Cells;
use super::snapshot::Repeats;
use super::text::Text;
use super::time_column::may_be_times;
use crate::failure::{FailureKind, SourceError};

/// Settles the layout; `None` when there is a header and nothing else.
pub(super) fn find_layout(
    path: &Path,
    text: &Text,
    declared: &Declared,
) -> Result<Option<Layout>, SourceError> {
    let refused =
        |reason: String| SourceError::new(FailureKind::Refused, format!("{}: {reason}", path.display()));
    let size = text.size.min(HEAD_BYTES as u64);
    let bytes = text.beginning(size).map_err(|error| cannot_read(path, &error))?;
    if (bytes.len() as u64) < size {
        return Err(shrunk(path));
    }
    let whole = size == text.size;
    let head = Head::read(&bytes, whole, declared).map_err(refused)?;
    if whole && head.rows.is_empty() && !head.has_unreadable_rows {
        return Ok(None);
    }
    let mut warnings = Vec::new();
    let layout = Layout::of(&head, declared, &mut warnings).map_err(refused)?;
    if layout.time.is_none() {
        warnings.extend(no_times(&head, declared));
    }
    for warning in warnings {
        log::warn!("{}: {warning}", path.display());
    }
    Ok(Some(layout))
}

/// What to say of a file without times in which columns look like some.
fn no_times(head: &Head, declared: &Declared) -> Option<String> {
    let columns = may_be_times(head);
    if columns.is_empty() || declared.as_of.is_some() || declared.columns.contains_key(&Role::Time) {
        return None;
    }
    Some(format!(
        "no column is known to say when its prices were observed, so it is taken for one snapshot; if {columns:?} does, declare it in \
         a CSV map (CSV_MAP): [file.columns] time = {:?}",
        columns[0]
    ))
}

/// A file without times is one snapshot. One in which the coins come again and again lost its times: each row
/// would overwrite the one before.
pub(super) fn refuse_history(
    path: &Path,
    text: &Text,
    layout: &Layout,
    plan: &Plan,
) -> Result<(), SourceError> {
    let input = text.reader(0).map_err(|error| cannot_read(path, &error))?;
    let mut chunker = Chunker::from_start(input, text.size, layout.delimiter);
    let (mut repeats, mut above) = (Repeats::new(), layout.header_records);
    loop {
        plan.go_on()?;
        let chunk = match chunker.next(usize::MAX) {
            Ok(Some(chunk)) => chunk,
            Err(ChunkError::Io(error)) => return Err(cannot_read(path, &error)),
            Err(ChunkError::Truncated) => return Err(shrunk(path)),
            // A record without an end is reported when the reading comes to it.
            Ok(None) | Err(_) => break,
        };
        count_coins(&chunk.bytes, layout, above, &mut repeats)
            .map_err(|error| cannot_read(path, &error.into()))?;
        above = 0;
    }
    if repeats.is_history() {
        let message = format!(
            "{}: coins come again and again, but no column says when; add the times, declare their column in a CSV map (CSV_MAP), \
             [file.columns] time = \"...\", or give one row per coin",
            path.display()
        );
        return Err(SourceError::new(FailureKind::Refused, message));
    }
    if repeats.coins() > 0 {
        log::warn!(
            "{}: {} coin(s) come more than once in a file that is one snapshot; of each the last row counts",
            path.display(),
            repeats.coins()
        );
    }
    Ok(())
}

fn count_coins(
    bytes: &[u8],
    layout: &Layout,
    above: usize,
    repeats: &mut Repeats,
) -> Result<(), ::csv::Error> {
    let mut records = Records::new(bytes, layout.delimiter);
    for _ in 0..above {
        records.next()?;
    }
    let coin = &layout.coin;
    while let Some(record) = records.next()? {
        // What is refused whatever it says does not count.
        let Ok(cells) = Cells::of(record) else { continue };
        let [id, name, symbol] = coin.texts(|column| cells.cell(column));
        let crypto_id = coin.crypto_id(id, name, symbol);
        if !crypto_id.is_empty() && !is_blank(record) {
            repeats.add(&crypto_id);
        }
    }
    Ok(())
}
