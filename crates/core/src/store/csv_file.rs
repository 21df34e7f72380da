//! `csv_files`: how far each file has been read.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::upsert::excluded;

use crate::schema::csv_files;

/// How far a file has been read, and how to tell whether it grew or was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = csv_files, check_for_backend(diesel::pg::Pg))]
pub struct FileState {
    /// Absolute path; the key.
    pub path: String,
    /// Grows by one when the file was replaced by one that does not begin with what was read.
    pub generation: i32,
    /// Size in bytes when last read.
    pub size_bytes: i64,
    /// Modification time in nanoseconds since 1970, UTC.
    pub modified_ns: i64,
    /// Device, inode, and the time of its last change by the system's own account.
    pub inode: String,
    /// Bytes from the beginning that are loaded.
    pub read_bytes: i64,
    /// Line ends within `read_bytes`.
    pub read_lines: i64,
    /// BLAKE3 of the first `read_bytes` bytes, 32 bytes long: a file that grew is read up to where it was read before
    /// only to be hashed, and this hash costs a quarter of SHA-256.
    pub prefix_hash: Vec<u8>,
    /// The `observed_at` of rows without a time of their own.
    pub as_of: DateTime<Utc>,
}

/// Every file that was read before.
///
/// # Errors
/// What the database says.
pub fn all(connection: &mut PgConnection) -> QueryResult<Vec<FileState>> {
    csv_files::table.select(FileState::as_select()).load(connection)
}

/// The state of a file by its key.
///
/// # Errors
/// What the database says.
pub fn find(connection: &mut PgConnection, file_id: i64) -> QueryResult<FileState> {
    csv_files::table.find(file_id).select(FileState::as_select()).first(connection)
}

/// Writes the state of one file and returns its key.
///
/// # Errors
/// What the database says.
pub fn save(connection: &mut PgConnection, state: &FileState) -> QueryResult<i64> {
    diesel::insert_into(csv_files::table)
        .values(state)
        .on_conflict(csv_files::path)
        .do_update()
        .set((
            csv_files::generation.eq(excluded(csv_files::generation)),
            csv_files::size_bytes.eq(excluded(csv_files::size_bytes)),
            csv_files::modified_ns.eq(excluded(csv_files::modified_ns)),
            csv_files::inode.eq(excluded(csv_files::inode)),
            csv_files::read_bytes.eq(excluded(csv_files::read_bytes)),
            csv_files::read_lines.eq(excluded(csv_files::read_lines)),
            csv_files::prefix_hash.eq(excluded(csv_files::prefix_hash)),
            csv_files::as_of.eq(excluded(csv_files::as_of)),
            csv_files::updated_at.eq(diesel::dsl::now),
        ))
        .returning(csv_files::file_id)
        .get_result(connection)
}

/// The key of a file; one that is not known yet is entered as not read at all.
///
/// # Errors
/// What the database says.
pub fn enter(connection: &mut PgConnection, state: &FileState) -> QueryResult<i64> {
    // BLAKE3 of nothing.
    const EMPTY: [u8; 32] = [
        0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49, 0x9b,
        0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62,
    ];
    let unread = FileState {
        size_bytes: 0,
        read_bytes: 0,
        read_lines: 0,
        prefix_hash: EMPTY.to_vec(),
        ..state.clone()
    };
    diesel::insert_into(csv_files::table).values(&unread).on_conflict_do_nothing().execute(connection)?;
    csv_files::table.filter(csv_files::path.eq(&state.path)).select(csv_files::file_id).first(connection)
}
