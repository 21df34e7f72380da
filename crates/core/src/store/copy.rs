//! Rows in the binary format of COPY.

use std::io::{self, Write};

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use diesel::result::Error;

use crate::{Decimal, Values};

/// Signature, flags and length of the header extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: i32 = -1;

/// Rows that are sent in one piece: the server works on a piece while the next one is made.
const ROWS_AT_ONCE: usize = 512;

/// Sends rows of so many columns; `push` appends the columns of one in their order.
///
/// # Errors
/// What the connection says.
pub(super) fn send<T>(
    out: &mut dyn Write,
    columns: i16,
    rows: &[T],
    push: impl Fn(&mut Columns, &T),
) -> Result<(), Error> {
    send_and(out, columns, rows, push, |_| ())
}

/// The same; `sent` is called with the rows of each piece while the server works on them.
pub(super) fn send_and<T>(
    out: &mut dyn Write,
    columns: i16,
    rows: &[T],
    push: impl Fn(&mut Columns, &T),
    sent: impl FnMut(&[T]),
) -> Result<(), Error> {
    write(out, columns, rows, push, sent).map_err(|error| Error::SerializationError(Box::new(error)))
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
