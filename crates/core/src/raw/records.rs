//! Reads the records of a chunk with the `csv` crate and keeps hold of their exact bytes.

use std::io::{Chain, Read};
use std::ops::Range;

use ::csv::{ByteRecord, Reader, ReaderBuilder};

/// The records of some bytes, one after the other, in one reused buffer.
pub struct Records<'b> {
    bytes: &'b [u8],
    reader: Reader<Chain<&'static [u8], &'b [u8]>>,
    record: ByteRecord,
    range: Range<usize>,
}

/// A blank line in front keeps the reader from stripping a byte order mark wherever a chunk happens to begin.
const GUARD: &[u8] = b"\n";

/// What some programs put in front of UTF-8.
pub const BOM: &[u8] = b"\xEF\xBB\xBF";

impl<'b> Records<'b> {
    /// Begins with the first byte.
    pub fn new(bytes: &'b [u8], delimiter: u8) -> Self {
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(64 * 1024)
            .from_reader(GUARD.chain(bytes));
        Self { bytes, reader, record: ByteRecord::new(), range: 0..0 }
    }

    /// The next record; blank lines are none.
    ///
    /// # Errors
    /// None in practice: bytes in memory can be read and every record is well-formed.
    #[allow(clippy::should_implement_trait, reason = "it lends its buffer, which no iterator can")]
    pub fn next(&mut self) -> Result<Option<&ByteRecord>, ::csv::Error> {
        let start = self.offset();
        let found = self.reader.read_byte_record(&mut self.record)?;
        self.range = start..self.offset();
        Ok(found.then_some(&self.record))
    }

    fn offset(&self) -> usize {
        (self.reader.position().byte() as usize).saturating_sub(GUARD.len())
    }

    /// The bytes of the last record without line ends.
    pub fn raw(&self) -> &'b [u8] {
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let raw = &self.bytes[self.range.clone()];
        let start = raw.iter().position(|byte| !is_line_end(byte)).unwrap_or(raw.len());
        let raw = &raw[start..];
        let end = raw.iter().rposition(|byte| !is_line_end(byte)).map_or(0, |last| last + 1);
        &raw[..end]
    }

    /// Offset of the last record, behind the line ends before it.
    pub fn start(&self) -> usize {
        let raw = &self.bytes[self.range.clone()];
        self.range.start + raw.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(raw.len())
    }
}

/// Without the blanks around it: white space of any kind, also NBSP and byte order marks.
pub fn trim(text: &str) -> &str {
    let plain = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_graphic);
    if plain(text.as_bytes().first()) && plain(text.as_bytes().last()) {
        return text;
    }
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// What a cell says: its text without the blanks around it. A quote behind a blank opens nothing by the rules, but its writer
/// meant it to: `date, "BTC", 1`.
pub fn content(cell: &str) -> &str {
    let text = trim(cell);
    if text.len() == cell.len() {
        return text;
    }
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map_or(text, trim)
}

/// Whether every cell is empty: such a row is a leftover of a spreadsheet, not a record.
pub fn is_blank(record: &ByteRecord) -> bool {
    record.iter().all(|cell| std::str::from_utf8(cell).is_ok_and(|text| trim(text).is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_are_those_of_the_record() {
        let mut records = Records::new(b"a,b\r\r\n\"x\ny\",c\r\n\n\nlast", b',');
        let mut raw = Vec::new();
        while records.next().unwrap().is_some() {
            raw.push((records.start(), records.raw()));
        }
        assert_eq!(raw, [(0, &b"a,b"[..]), (6, b"\"x\ny\",c"), (17, b"last")]);
    }

    #[test]
    fn a_byte_order_mark_is_text_like_any_other() {
        let mut records = Records::new(b"\xEF\xBB\xBF\"a\",b\n", b',');
        assert_eq!(records.next().unwrap().unwrap(), &vec!["\u{feff}\"a\"", "b"]);
    }

    #[test]
    fn blanks_of_every_kind_are_trimmed() {
        for (text, trimmed) in [
            ("a", "a"),
            (" \ta b\u{a0}", "a b"),
            ("\u{feff}id", "id"),
            ("\u{3000}", ""),
            ("é ", "é"),
            ("", ""),
        ] {
            assert_eq!(trim(text), trimmed);
            assert_eq!(content(text), trimmed);
        }
    }
}
