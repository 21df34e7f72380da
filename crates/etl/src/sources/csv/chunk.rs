//! Cuts a file into chunks at the ends of records, in bounded memory.

use std::io::{self, Read};

use super::records::BOM;
use super::scanner::{Scanner, line_ends};

/// Bytes of a chunk: it ends with the record that reaches them.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// Longest record. Real ones have some hundred bytes; an unclosed quote has the rest of the file.
pub(super) const RECORD_BYTES: usize = 1024 * 1024;
const BLOCK_BYTES: usize = 256 * 1024;

/// Some records in a row, byte for byte.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// Records in `bytes`, a header and rows of empty cells included.
    pub(super) records: usize,
    /// Length of the last record when the file ends without a line end behind it; else 0.
    pub(super) tail: usize,
}

/// Why there is no next chunk. The record in question begins where the last chunk ended.
#[derive(Debug)]
pub(super) enum ChunkError {
    Io(io::Error),
    /// The file ended before the size that it had.
    Truncated,
    /// Longer than [`RECORD_BYTES`].
    TooLong {
        quoted: bool,
    },
    /// The file ends within quotes.
    UnclosedQuote,
}

/// Reads `remaining` bytes in chunks.
pub(super) struct Chunker<R> {
    input: R,
    remaining: u64,
    /// A byte order mark may come, which is no text.
    at_start: bool,
    scanner: Scanner,
    buffer: Vec<u8>,
    /// End of the last chunk in `buffer`.
    taken: usize,
    /// How many bytes behind `taken` the scanner has seen, or may leave out.
    scanned: usize,
}

impl<R: Read> Chunker<R> {
    /// Reads from the beginning of the file.
    pub(super) fn from_start(input: R, size: u64, delimiter: u8) -> Self {
        Self { at_start: true, ..Self::resumed(input, size, delimiter) }
    }

    /// Reads on from the beginning of a record.
    pub(super) fn resumed(input: R, remaining: u64, delimiter: u8) -> Self {
        let scanner = Scanner::new(delimiter);
        Self { input, remaining, at_start: false, scanner, buffer: Vec::new(), taken: 0, scanned: 0 }
    }

    /// Lines behind the last chunk that hold nothing.
    pub(super) fn blank_lines_ahead(&self) -> u64 {
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let blank = self.ahead().iter().position(|byte| !is_line_end(byte)).unwrap_or(self.ahead().len());
        line_ends(&self.ahead()[..blank])
    }

    /// The next chunk of at most `max_records` records; `None` at the end.
    pub(super) fn next(&mut self, max_records: usize) -> Result<Option<Chunk>, ChunkError> {
        let (mut records, mut end) = (0, 0);
        while records < max_records && end < CHUNK_BYTES {
            if self.scanned - end > RECORD_BYTES {
                if end > 0 {
                    break;
                }
                return Err(ChunkError::TooLong { quoted: self.scanner.in_quotes() });
            }
            if self.scanned == self.ahead().len() {
                if self.fill()? {
                    continue;
                }
                return self.last(records, end);
            }
            let Some(length) = self.scanner.record_end(&self.buffer[self.taken + self.scanned..]) else {
                self.scanned = self.ahead().len();
                if self.scanner.between_records() {
                    end = self.scanned;
                }
                continue;
            };
            self.scanned += length;
            if self.scanned - end <= RECORD_BYTES {
                self.take_line_ends()?;
                records += 1;
                end = self.scanned;
            }
        }
        Ok(Some(self.cut(records, end, 0)))
    }

    /// Moves behind the line ends ahead: a chunk that began with the second half of a CRLF would have its
    /// lines counted twice.
    fn take_line_ends(&mut self) -> Result<(), ChunkError> {
        if self.scanned == self.ahead().len() {
            self.fill()?;
        }
        let ahead = &self.ahead()[self.scanned..];
        self.scanned += ahead.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        Ok(())
    }

    /// What is left at the end of the file.
    fn last(&mut self, records: usize, end: usize) -> Result<Option<Chunk>, ChunkError> {
        let rest = self.ahead().len() - end;
        let tail = if self.scanner.between_records() { 0 } else { rest };
        if tail > 0 && self.scanner.in_quotes() {
            return if end > 0 {
                Ok(Some(self.cut(records, end, 0)))
            } else {
                Err(ChunkError::UnclosedQuote)
            };
        }
        if self.ahead().is_empty() {
            return Ok(None);
        }
        Ok(Some(self.cut(records + usize::from(tail > 0), end + rest, tail)))
    }

    fn cut(&mut self, records: usize, end: usize, tail: usize) -> Chunk {
        let bytes = self.ahead()[..end].to_vec();
        self.taken += end;
        self.scanned -= end;
        Chunk { bytes, records, tail }
    }

    /// What was read and is in no chunk yet.
    fn ahead(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    /// Reads one block; `false` at the end.
    fn fill(&mut self) -> Result<bool, ChunkError> {
        let block = self.remaining.min(BLOCK_BYTES as u64);
        if block == 0 {
            return Ok(false);
        }
        self.buffer.drain(..std::mem::take(&mut self.taken));
        let read = self.input.by_ref().take(block).read_to_end(&mut self.buffer).map_err(ChunkError::Io)?;
        if (read as u64) < block {
            return Err(ChunkError::Truncated);
        }
        self.remaining -= block;
        if std::mem::take(&mut self.at_start) && self.buffer.starts_with(BOM) {
            self.scanned = BOM.len();
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sources::csv::records::Records;

    fn chunks(bytes: &[u8], max_records: usize) -> Result<Vec<Chunk>, ChunkError> {
        let mut chunker = Chunker::from_start(bytes, bytes.len() as u64, b',');
        let mut chunks = Vec::new();
        while let Some(chunk) = chunker.next(max_records)? {
            chunks.push(chunk);
        }
        Ok(chunks)
    }

    fn parse(bytes: &[u8]) -> Vec<::csv::ByteRecord> {
        let mut records = Records::new(bytes, b',');
        let mut all = Vec::new();
        while let Some(record) = records.next().unwrap() {
            let mut record = record.clone();
            record.set_position(None);
            all.push(record);
        }
        all
    }

    #[test]
    fn a_line_end_stays_with_its_record() {
        let cut = chunks(b"a,b\r\r\nc,d\r\n\r\ne,f", 1).unwrap();
        let bytes: Vec<&[u8]> = cut.iter().map(|chunk| &chunk.bytes[..]).collect();
        assert_eq!(bytes, [&b"a,b\r\r\n"[..], b"c,d\r\n\r\n", b"e,f"]);
        assert_eq!(cut.iter().map(|chunk| chunk.tail).collect::<Vec<_>>(), [0, 0, 3]);
    }

    #[test]
    fn a_quoted_header_behind_a_byte_order_mark_is_one_record() {
        let cut = chunks(b"\xEF\xBB\xBF\"a\nb\",c\n1,2\n", 1).unwrap();
        assert_eq!(cut.len(), 2);
    }

    #[test]
    fn a_file_that_ends_within_quotes_gives_what_came_before() {
        let bytes = b"a,b\n1,2\n3,\"4\n5,6\n";
        let mut chunker = Chunker::from_start(&bytes[..], bytes.len() as u64, b',');
        assert_eq!(chunker.next(10).unwrap().unwrap().bytes, b"a,b\n1,2\n");
        assert!(matches!(chunker.next(10), Err(ChunkError::UnclosedQuote)));
    }

    #[test]
    fn an_unclosed_quote_is_given_up_before_the_file_is_in_memory() {
        const SIZE: u64 = 300 * 1024 * 1024;
        let head = b"a,b\n1,\"2\n";
        let input = head.chain(io::repeat(b'x'));
        let mut chunker = Chunker::from_start(input, SIZE, b',');
        assert_eq!(chunker.next(10).unwrap().unwrap().bytes, b"a,b\n");
        assert!(matches!(chunker.next(10), Err(ChunkError::TooLong { quoted: true })));
        assert!(chunker.buffer.capacity() < 4 * RECORD_BYTES);
        assert!(chunker.remaining > SIZE - 3 * RECORD_BYTES as u64);
    }

    #[test]
    fn a_long_record_that_does_end_is_too_long_all_the_same() {
        let bytes = [b"a\n".to_vec(), vec![b'x'; RECORD_BYTES + 1], b"\nb\n".to_vec()].concat();
        let mut chunker = Chunker::from_start(&bytes[..], bytes.len() as u64, b',');
        assert_eq!(chunker.next(10).unwrap().unwrap().bytes, b"a\n");
        assert!(matches!(chunker.next(10), Err(ChunkError::TooLong { quoted: false })));
    }

    #[test]
    fn blank_lines_by_the_megabyte_are_no_record() {
        let bytes = [b"a\n".to_vec(), vec![b'\n'; 6 * 1024 * 1024], b"b\n".to_vec()].concat();
        let cut = chunks(&bytes, 10).unwrap();
        assert_eq!(cut.iter().map(|chunk| chunk.records).sum::<usize>(), 2);
        assert!(cut.iter().all(|chunk| chunk.bytes.len() <= CHUNK_BYTES + RECORD_BYTES));
        assert_eq!(cut.concat_bytes(), bytes);
    }

    #[test]
    fn chunks_are_bounded_in_bytes_too() {
        let line = [vec![b'x'; 999], b"\n".to_vec()].concat();
        let bytes = line.repeat(10_000);
        let cut = chunks(&bytes, usize::MAX).unwrap();
        assert!(cut.len() > 1 && cut.iter().all(|chunk| chunk.bytes.len() < CHUNK_BYTES + line.len()));
        assert_eq!(cut.concat_bytes(), bytes);
    }

    #[test]
    fn a_file_that_shrinks_is_an_error() {
        let mut chunker = Chunker::from_start(&b"a,b\n1,2\n"[..], 100, b',');
        assert!(matches!(chunker.next(10), Err(ChunkError::Truncated)));
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl Concat for [Chunk] {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|chunk| chunk.bytes.clone()).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        /// The reference is the `csv` crate on the whole file.
        #[test]
        fn cutting_changes_nothing(text in "[\",\r\na\u{feff} ]{0,60}", max_records in 1usize..8) {
            let bytes = text.as_bytes();
            let whole = parse(bytes.strip_prefix(BOM).unwrap_or(bytes));
            let (mut cut, mut unclosed) = (Vec::new(), false);
            let mut chunker = Chunker::from_start(bytes, bytes.len() as u64, b',');
            loop {
                match chunker.next(max_records) {
                    Ok(Some(chunk)) => cut.push(chunk),
                    Ok(None) => break,
                    Err(_) => { unclosed = true; break; }
                }
            }
            let mut joined = cut.concat_bytes();
            let mut pieces = Vec::new();
            for (number, chunk) in cut.iter().enumerate() {
                let content = if number == 0 { chunk.bytes.strip_prefix(BOM).unwrap_or(&chunk.bytes) } else { &chunk.bytes };
                let records = parse(content);
                prop_assert!(chunk.records <= max_records);
                prop_assert_eq!(records.len(), chunk.records);
                pieces.extend(records);
            }
            if unclosed {
                // The rest is one record of the reference: the one whose quote is open.
                joined.extend_from_slice(chunker.ahead());
                prop_assert_eq!(pieces.len() + 1, whole.len());
                prop_assert_eq!(&pieces[..], &whole[..pieces.len()]);
            } else {
                prop_assert_eq!(&pieces, &whole);
            }
            prop_assert_eq!(joined, bytes);
        }
    }
}
