//! Where the records are within the bytes that a source sent: for the loader, which reads all of them, and for whoever
//! looks up what was said of one observation.

pub mod elements;
pub mod records;

use std::ops::RangeInclusive;

/// The bytes of one record of a body or chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment<'b> {
    /// The exact bytes, without what separates records.
    pub bytes: &'b [u8],
    /// Numbers of its first and last line within the bytes, from 1.
    pub lines: RangeInclusive<u64>,
    /// Offset of its first byte.
    pub offset: usize,
}

/// The element of this number, from 0, of a JSON list; `None` when there is none.
pub fn element(body: &[u8], position: usize) -> Option<Fragment<'_>> {
    let bytes = elements::split(body).ok()?.get(position).copied()?;
    Some(Fragment::within(body, bytes))
}

/// The record of this number, from 0, of a chunk of CSV; rows of empty cells are none, nor is the header, with
/// which the first chunk of a file begins. `None` when there is no such record.
pub fn record(chunk: &[u8], delimiter: u8, has_header: bool, position: usize) -> Option<Fragment<'_>> {
    let content = if has_header { chunk.strip_prefix(records::BOM).unwrap_or(chunk) } else { chunk };
    let mut rows = records::Records::new(content, delimiter);
    if has_header {
        rows.next().ok()??;
    }
    let mut met = 0;
    while let Some(row) = rows.next().ok()? {
        if records::is_blank(row) {
            continue;
        }
        if met == position {
            return Some(Fragment::within(chunk, rows.raw()));
        }
        met += 1;
    }
    None
}

impl<'b> Fragment<'b> {
    /// `bytes` must lie within `whole`.
    fn within(whole: &[u8], bytes: &'b [u8]) -> Self {
        let offset = (bytes.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len());
        let first = 1 + line_ends(&whole[..offset]);
        Self { bytes, lines: first..=first + line_ends(bytes), offset }
    }
}

/// Counts line ends as people see lines: LF, CRLF and CR CR LF are one each, a CR elsewhere is one.
pub fn line_ends(bytes: &[u8]) -> u64 {
    if memchr::memchr(b'\r', bytes).is_none() {
        return memchr::memchr_iter(b'\n', bytes).count() as u64;
    }
    let (mut ends, mut returns) = (0, 0);
    for byte in bytes {
        match byte {
            b'\r' => returns += 1,
            b'\n' => (ends, returns) = (ends + 1, 0),
            _ => (ends, returns) = (ends + returns, 0),
        }
    }
    ends + returns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_cut_to_the_byte() {
        let body = b"[\n {\"id\":\"a\"},\n {\"id\": \"b,]\",\n  \"x\": [1]}\n]";
        let found = element(body, 1).unwrap();
        assert_eq!(found.bytes, b"{\"id\": \"b,]\",\n  \"x\": [1]}");
        assert_eq!((found.lines, &body[found.offset..found.offset + 4]), (3..=4, &b"{\"id"[..]));
        assert_eq!(element(body, 2), None);
        assert_eq!(element(b"[1", 0), None);
    }

    #[test]
    fn a_row_is_cut_to_the_byte_whatever_stands_around_it() {
        let chunk = b"\xEF\xBB\xBFid;name\r\n;\r\n\r\na;\"A\r\nB\"\r\nc;C";
        let found = record(chunk, b';', true, 0).unwrap();
        assert_eq!((found.bytes, found.lines), (&b"a;\"A\r\nB\""[..], 4..=5));
        let last = record(chunk, b';', true, 1).unwrap();
        assert_eq!((last.bytes, last.lines), (&b"c;C"[..], 6..=6));
        assert_eq!(record(chunk, b';', true, 2), None);
        assert_eq!(record(b"x,1\ny,2\n", b',', false, 1).unwrap().bytes, b"y,2");
    }

    #[test]
    fn line_ends_are_counted_as_people_see_them() {
        for (text, count) in [
            ("", 0),
            ("a\nb\n", 2),
            ("a\r\nb\r\n", 2),
            ("a\r\r\nb", 1),
            ("a\rb\rc", 2),
            ("\n\n", 2),
            ("a\r", 1),
        ] {
            assert_eq!(line_ends(text.as_bytes()), count, "{text:?}");
        }
    }
}
