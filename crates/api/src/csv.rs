//! Fields of CSV (RFC 4180): lines end with CRLF, what could be misread is quoted, null is nothing.

use chrono::{DateTime, Utc};
use kasparro_core::Decimal;
use std::io::Write as _;

/// A value of a field.
pub(crate) trait Cell {
    /// Appends the field.
    fn write(&self, out: &mut Vec<u8>);
}

impl<T: Cell> Cell for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.write(out);
        }
    }
}

impl Cell for i32 {
    fn write(&self, out: &mut Vec<u8>) {
        let _ = write!(out, "{self}");
    }
}

impl Cell for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        let _ = write!(out, "{self}");
    }
}

impl Cell for Decimal {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_str().as_bytes());
    }
}

impl Cell for DateTime<Utc> {
    fn write(&self, out: &mut Vec<u8>) {
        let _ = write!(out, "{}", self.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
    }
}

/// Text. Names of coins are anybody's choice, and a spreadsheet runs a field that begins like a formula: such a one
/// gets an apostrophe in front, as OWASP advises ("CSV Injection"). Empty text is quoted, so that it is not null.
impl Cell for String {
    fn write(&self, out: &mut Vec<u8>) {
        let is_formula = self.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
        let is_plain = !self.is_empty() && !self.contains(['"', ',', '\r', '\n', '\t', ' ', ';']);
        if is_plain && !is_formula {
            return out.extend_from_slice(self.as_bytes());
        }
        out.push(b'"');
        if is_formula {
            out.push(b'\'');
        }
        for piece in self.split_inclusive('"') {
            out.extend_from_slice(piece.as_bytes());
            if piece.ends_with('"') {
                out.push(b'"');
            }
        }
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &impl Cell) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_could_be_misread_is_quoted() {
        for (text, field) in [
            ("Bitcoin", "Bitcoin"),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("比特币", "比特币"),
        ] {
            assert_eq!(written(&text.to_owned()), field);
        }
        assert_eq!(written(&None::<String>), "");
        assert_eq!(written(&Some(Decimal::parse("-1.50").unwrap())), "-1.50", "a number is no formula");
    }

    #[test]
    fn a_formula_is_disarmed() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "=\"x\""] {
            let field = written(&text.to_owned());
            assert!(field.starts_with("\"'"), "{field}");
        }
    }
}
