//! Brings the rows of a chunk to unified records. Pure.

use ::csv::ByteRecord;
use kasparro_core::Reject;

use super::columns::Columns;
use super::records::{BOM, Records, is_blank, trim};
use super::row::RowReader;
use super::scanner::line_ends;
use crate::failure::{FailureKind, SourceError};
use crate::source::{Normalised, Provenance, RawBatch};

/// Bytes of a short record.
const SHORT_RECORD: usize = 32;

/// Reads every row of the chunk; rows of empty cells are none.
///
/// # Errors
/// When the batch is not a chunk of a file.
pub(super) fn normalise(batch: &RawBatch) -> Result<Normalised, SourceError> {
    let Provenance::File { layout, bytes: (first_byte, _), .. } = &batch.provenance else {
        return Err(SourceError::new(FailureKind::Refused, format!("{} is not a CSV file", batch.origin())));
    };
    let unreadable =
        |error: ::csv::Error| SourceError::new(FailureKind::Refused, format!("{}: {error}", batch.origin()));
    let is_first = *first_byte == 0;
    let content = if is_first { batch.bytes.strip_prefix(BOM).unwrap_or(&batch.bytes) } else { &batch.bytes };
    let mut records = Records::new(content, layout.delimiter);
    for _ in 0..if is_first { layout.header_records } else { 0 } {
        records.next().map_err(unreadable)?;
    }
    let reader = RowReader::new(layout, batch.fetched_at);
    let (mut normalised, mut position) = (Normalised::default(), 0);
    // As a rule there is a record on every line, and it is not shorter than this; lines may be empty, though.
    let lines = usize::try_from(line_ends(content)).unwrap_or(0) + 1;
    normalised.records.reserve_exact(lines.min(content.len() / SHORT_RECORD + 1));
    while let Some(row) = records.next().map_err(unreadable)? {
        if is_blank(row) {
            continue;
        }
        match reader.read(row, position) {
            Ok(record) => normalised.records.push(record),
            // Above the first row it is one that the declared names of the columns stand for.
            Err(_) if !(is_first && position == 0) && is_other_header(row, &layout.header) => {
                let found = String::from_utf8_lossy(records.raw());
                let message = format!(
                    "{}: the row {:?} is another header, with other columns or the same in another order; the rows behind it would \
                     be misread: split the file there",
                    batch.origin(),
                    found.trim().chars().take(200).collect::<String>()
                );
                return Err(SourceError::new(FailureKind::Refused, message));
            }
            Err(flaw) => normalised.rejects.push(Reject {
                code: flaw.code,
                field: flaw.column.and_then(|column| layout.header.get(column)).cloned(),
                message: flaw.message,
                position,
                raw: records.raw().to_vec(),
            }),
        }
        position += 1;
    }
    Ok(normalised)
}

/// Whether files were joined whose headers differ.
fn is_other_header(row: &ByteRecord, header: &[String]) -> bool {
    let cells: Option<Vec<String>> =
        row.iter().map(|cell| std::str::from_utf8(cell).ok().map(|text| trim(text).to_owned())).collect();
    let is_same = |cells: &[String]| {
        let same =
            |(cell, name): (&String, &String)| cell.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name);
        cells.len() == header.len() && cells.iter().zip(header).all(same)
    };
    cells.is_some_and(|cells| !is_same(&cells) && Columns::of(&cells).suffice())
}
