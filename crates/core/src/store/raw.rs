//! `raw_api_data` and `raw_csv_data`: the exact bytes, packed. The same bytes are kept once.

use std::io;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::schema::{raw_api_data, raw_csv_data};

/// Fast, and within a few per cent of what higher levels make of prices.
const LEVEL: i32 = 1;

const IDENTITY: &str = "identity";
const ZSTD: &str = "zstd";

/// Bytes as they are kept: packed with zstd where that makes them smaller.
#[derive(Clone, Debug)]
pub struct Packed {
    encoding: &'static str,
    body: Vec<u8>,
}

impl Packed {
    /// Packs bytes.
    pub fn new(bytes: &[u8]) -> Self {
        match zstd::bulk::compress(bytes, LEVEL) {
            Ok(mut body) if body.len() < bytes.len() => {
                // It has room for what cannot be made smaller; many of them wait for one commit.
                body.shrink_to_fit();
                Self { encoding: ZSTD, body }
            }
            _ => Self { encoding: IDENTITY, body: bytes.to_vec() },
        }
    }

    /// The bytes that were packed.
    ///
    /// # Errors
    /// When memory is damaged.
    pub fn unpack(&self) -> io::Result<Vec<u8>> {
        unpacked(self.encoding, self.body.clone())
    }

    /// How many bytes are kept.
    pub fn size(&self) -> usize {
        self.body.len()
    }
}

fn unpacked(encoding: &str, body: Vec<u8>) -> io::Result<Vec<u8>> {
    match encoding {
        IDENTITY => Ok(body),
        ZSTD => zstd::stream::decode_all(body.as_slice()),
        other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("raw bytes of encoding {other}"))),
    }
}

/// The exact bytes of a row, from its columns `encoding` and `body`.
pub(super) fn exact((encoding, body): (String, Vec<u8>)) -> QueryResult<Vec<u8>> {
    unpacked(&encoding, body).map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))
}

/// An HTTP body as received.
#[derive(Insertable)]
#[diesel(table_name = raw_api_data)]
pub struct NewBody<'a> {
    /// The source.
    pub source: &'a str,
    /// The request, without secrets.
    pub url: &'a str,
    /// HTTP status.
    pub status: i16,
    /// Content type as sent.
    pub content_type: Option<&'a str>,
    /// When it came, UTC.
    pub fetched_at: DateTime<Utc>,
    /// SHA-256 of the bytes.
    pub sha256: &'a [u8],
    /// Records inside.
    pub record_count: i32,
}

/// A chunk of a file as read.
#[derive(Insertable)]
#[diesel(table_name = raw_csv_data)]
pub struct NewChunk<'a> {
    /// The source.
    pub source: &'a str,
    /// The file.
    pub file_id: i64,
    /// Which of the files that have stood under this path.
    pub generation: i32,
    /// Number of the first line, from 1.
    pub first_line: i64,
    /// Number of the last line.
    pub last_line: i64,
    /// Offset of the first byte.
    pub first_byte: i64,
    /// Offset behind the last byte.
    pub end_byte: i64,
    /// SHA-256 of the bytes.
    pub sha256: &'a [u8],
    /// Records inside.
    pub record_count: i32,
}

/// Where the bytes are, and whether their records count only now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Key of the row.
    pub raw_id: i64,
    /// False when the same bytes had come before, unless they were refused as a whole then: kept without a record.
    pub is_new: bool,
}

/// Keeps a body.
///
/// # Errors
/// What the database says.
pub fn keep_body(connection: &mut PgConnection, body: &NewBody<'_>, packed: &Packed) -> QueryResult<Kept> {
    // Looked up first: on an unchanged body the bytes need not travel at all.
    let known = raw_api_data::table
        .filter(raw_api_data::source.eq(body.source).and(raw_api_data::sha256.eq(body.sha256)))
        .select((raw_api_data::raw_id, raw_api_data::record_count))
        .first::<(i64, i32)>(connection)
        .optional()?;
    if let Some((raw_id, records)) = known {
        let is_new = records == 0 && body.record_count > 0;
        if is_new {
            let row = diesel::update(raw_api_data::table.find(raw_id));
            row.set(raw_api_data::record_count.eq(body.record_count)).execute(connection)?;
        }
        return Ok(Kept { raw_id, is_new });
    }
    let raw_id = diesel::insert_into(raw_api_data::table)
        .values((
            body,
            raw_api_data::encoding.eq(packed.encoding),
            raw_api_data::body.eq(packed.body.as_slice()),
        ))
        .returning(raw_api_data::raw_id)
        .get_result(connection)?;
    Ok(Kept { raw_id, is_new: true })
}

/// Keeps a chunk.
///
/// # Errors
/// What the database says.
pub fn keep_chunk(connection: &mut PgConnection, chunk: &NewChunk<'_>, packed: &Packed) -> QueryResult<Kept> {
    let known = raw_csv_data::table
        .filter(raw_csv_data::source.eq(chunk.source).and(raw_csv_data::sha256.eq(chunk.sha256)))
        .select((raw_csv_data::raw_id, raw_csv_data::record_count))
        .first::<(i64, i32)>(connection)
        .optional()?;
    if let Some((raw_id, records)) = known {
        let is_new = records == 0 && chunk.record_count > 0;
        if is_new {
            let row = diesel::update(raw_csv_data::table.find(raw_id));
            row.set(raw_csv_data::record_count.eq(chunk.record_count)).execute(connection)?;
        }
        return Ok(Kept { raw_id, is_new });
    }
    let raw_id = diesel::insert_into(raw_csv_data::table)
        .values((
            chunk,
            raw_csv_data::encoding.eq(packed.encoding),
            raw_csv_data::body.eq(packed.body.as_slice()),
        ))
        .returning(raw_csv_data::raw_id)
        .get_result(connection)?;
    Ok(Kept { raw_id, is_new: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were() {
        let numbers: Vec<u8> = (0..50_000_u32).flat_map(|n| format!("{},", n % 977).into_bytes()).collect();
        for bytes in [&b""[..], b"[]", b"\x28\xb5\x2f\xfd", &numbers] {
            assert_eq!(Packed::new(bytes).unpack().unwrap(), bytes);
        }
        assert!(Packed::new(&numbers).size() < numbers.len() / 4);
    }
}
