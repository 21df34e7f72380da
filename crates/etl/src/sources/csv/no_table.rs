//! Files that are something else, by their first bytes.

use super::records::BOM;

/// Refuses what is no text, no table, or text of another encoding.
///
/// # Errors
/// A sentence that says what it is, and the way out.
pub(super) fn refuse(bytes: &[u8]) -> Result<(), String> {
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    if bytes.is_empty() {
        return Err("it is empty: there is not even a header".to_owned());
    }
    const NO_TEXT: [(&[u8], &str); 7] = [
        (b"PK\x03\x04", "a ZIP archive or a spreadsheet; unpack it, or save it as CSV (UTF-8)"),
        (b"\xD0\xCF\x11\xE0", "a spreadsheet (.xls); save it as CSV (UTF-8)"),
        (b"BZh", "packed by bzip2; unpack it, or pack it by gzip"),
        (b"\xFD7zXZ\0", "packed by xz; unpack it, or pack it by gzip"),
        (b"\x28\xB5\x2F\xFD", "packed by zstd; unpack it, or pack it by gzip"),
        (b"PAR1", "a Parquet file; convert it to CSV"),
        (b"SQLite format 3", "an SQLite database; export its table as CSV"),
    ];
    if let Some((_, what)) = NO_TEXT.iter().find(|(magic, _)| begins(magic)) {
        return Err(format!("it is {what}"));
    }
    // Not every `<`: there are headers such as `<TICKER>,<DATE>,<CLOSE>`.
    const NO_TABLE: [(&str, &str); 9] = [
        ("<!", "an HTML or XML document"),
        ("<?", "an HTML or XML document"),
        ("<html", "an HTML document"),
        ("<head", "an HTML document"),
        ("<body", "an HTML document"),
        ("<table", "an HTML document"),
        ("{", "JSON"),
        ("[", "JSON"),
        ("version https://git-lfs", "a pointer of Git LFS, not the file"),
    ];
    let text = bytes.strip_prefix(BOM).unwrap_or(bytes).trim_ascii_start();
    let is =
        |sign: &str| text.get(..sign.len()).is_some_and(|start| start.eq_ignore_ascii_case(sign.as_bytes()));
    if let Some((_, what)) = NO_TABLE.iter().find(|(sign, _)| is(sign)) {
        return Err(format!("it is {what}; give a CSV file: a header, and a row for each price"));
    }
    let start = &bytes[..bytes.len().min(512)];
    let nuls = |parity: usize| start.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (nuls(0), nuls(1));
    let every_second = even.max(odd) * 5 > start.len() && even.min(odd) * 10 < even.max(odd);
    if every_second {
        let label = if odd > even { "utf-16le" } else { "utf-16be" };
        return Err(format!(
            "it seems to be encoded in UTF-16; save it as UTF-8, or declare it in a CSV map (CSV_MAP): encoding = \"{label}\""
        ));
    }
    Ok(())
}
