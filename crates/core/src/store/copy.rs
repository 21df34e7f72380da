//! Rows in the binary format of COPY.

use std::cell::RefCell;
use std::io::{self, Write};

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use diesel::pg::{CopyFormat, CopyTarget, Pg};
use diesel::prelude::*;
use diesel::query_builder::AstPass;
use diesel::result::Error;

use crate::schema::observations;
use crate::{Decimal, Values};

/// Signature, flags and length of the header extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: i32 = -1;

/// Rows that are sent in one piece: the server works on a piece while the next one is made.
const ROWS_AT_ONCE: usize = 512;

thread_local! {
    /// Where the COPY of this thread goes: table and columns.
    static COPIED_INTO: RefCell<(String, &'static str)> = const { RefCell::new((String::new(), "")) };
}

/// Diesel knows the table of a COPY by its type, which the name of no partition or temporary table can be part of; so the
/// thread is told, and the type is that of any table.
struct Target;

impl CopyTarget for Target {
    type Table = observations::table;
    type SqlType = observations::SqlType;

    fn walk_target(mut pass: AstPass<'_, '_, Pg>) -> QueryResult<()> {
        COPIED_INTO.with_borrow(|(table, columns)| {
            pass.push_identifier(table)?;
            for sql in [" (", columns, ")"] {
                pass.push_sql(sql);
            }
            Ok(())
        })
    }
}

/// Appends rows to a table, of which these columns are given, by COPY; `push` appends the columns of a row in their order.
///
/// # Errors
/// What the database says.
pub(super) fn into<T>(
    connection: &mut PgConnection,
    table: &str,
    columns: &'static str,
    rows: &[T],
    push: impl Fn(&mut Columns, &T),
) -> QueryResult<()> {
    into_and(connection, table, columns, rows, push, |_| ())
}

/// The same; `sent` is called with the rows of each piece, in their order, while the server works on them.
///
/// # Errors
/// What the database says.
pub(super) fn into_and<T>(
    connection: &mut PgConnection,
    table: &str,
    columns: &'static str,
    rows: &[T],
    push: impl Fn(&mut Columns, &T),
    sent: impl FnMut(&[T]),
) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    COPIED_INTO.set((table.to_owned(), columns));
    let count = columns.split(',').count() as i16;
    // Diesel calls it once, and does not know that.
    let sent = RefCell::new(sent);
    let send = |out: &mut dyn Write| {
        let written = write(out, count, rows, &push, |rows| (sent.borrow_mut())(rows));
        written.map_err(|error| Error::SerializationError(Box::new(error)))
    };
    diesel::copy_from(observations::table)
        .from_raw_data(Target, send)
        .with_format(CopyFormat::Binary)
        .execute(connection)
        .map(drop)
}

fn write<T>(
    out: &mut dyn Write,
    columns: i16,
    rows: &[T],
    push: impl Fn(&mut Columns, &T),
    mut sent: impl FnMut(&[T]),
) -> io::Result<()> {
    let mut piece = Columns(Vec::with_capacity(ROWS_AT_ONCE * 200));
    piece.0.extend_from_slice(HEADER);
    for rows in rows.chunks(ROWS_AT_ONCE) {
        for row in rows {
            piece.0.extend_from_slice(&columns.to_be_bytes());
            push(&mut piece, row);
        }
        out.write_all(&piece.0)?;
        piece.0.clear();
        sent(rows);
    }
    out.write_all(&END)
}

/// The columns of a row in the making.
pub(super) struct Columns(Vec<u8>);

impl Columns {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// `smallint`
    pub(super) fn smallint(&mut self, value: i16) {
        self.bytes(&value.to_be_bytes());
    }

    /// `integer`
    pub(super) fn integer(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    /// `bigint`
    pub(super) fn bigint(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    /// `boolean`
    pub(super) fn boolean(&mut self, value: bool) {
        self.bytes(&[u8::from(value)]);
    }

    /// `text`
    pub(super) fn text(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.bytes(value.as_bytes()),
            None => self.0.extend_from_slice(&NULL.to_be_bytes()),
        }
    }

    /// `jsonb`: the version of the format, then the text.
    pub(super) fn jsonb(&mut self, text: &str) {
        const VERSION: u8 = 1;
        self.0.extend_from_slice(&(text.len() as i32 + 1).to_be_bytes());
        self.0.push(VERSION);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// `double precision`
    pub(super) fn double(&mut self, value: Option<f64>) {
        match value {
            Some(value) => self.bytes(&value.to_be_bytes()),
            None => self.0.extend_from_slice(&NULL.to_be_bytes()),
        }
    }

    /// `date`: days since 2000-01-01.
    pub(super) fn date(&mut self, value: NaiveDate) {
        const EPOCH_2000: i32 = 730_120;
        self.integer(value.num_days_from_ce() - EPOCH_2000);
    }

    /// `timestamptz`: microseconds since 2000-01-01.
    pub(super) fn time(&mut self, value: DateTime<Utc>) {
        const EPOCH_2000: i64 = 946_684_800_000_000;
        self.bigint(value.timestamp_micros() - EPOCH_2000);
    }

    /// The columns `rank` to `max_supply`, which stand in this order wherever figures are kept.
    pub(super) fn values(&mut self, values: &Values) {
        match values.rank {
            Some(rank) => self.integer(rank),
            None => self.0.extend_from_slice(&NULL.to_be_bytes()),
        }
        for number in values.numbers() {
            self.numeric(number);
        }
    }

    fn numeric(&mut self, number: Option<&Decimal>) {
        let Some(number) = number else {
            return self.0.extend_from_slice(&NULL.to_be_bytes());
        };
        let at = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        number.write_numeric(&mut self.0);
        let length = (self.0.len() - at - 4) as i32;
        self.0[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}
