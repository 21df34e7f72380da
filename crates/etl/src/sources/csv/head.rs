//! The beginning of a file: its encoding, delimiter, header and first rows.

use ::csv::ByteRecord;
use kasparro_core::Decimal;

use super::coin::NO_COIN;
use super::columns::Columns;
use super::map::Declared;
use super::no_table;
use super::records::{BOM, Records, content, is_blank, trim};
use super::scanner::{Scanner, line_ends};

/// How much of a file is looked at before its layout is settled.
pub(super) const HEAD_BYTES: usize = 1024 * 1024;

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Lines of a single cell, or of a comment, that may stand above the header, such as the address of the publisher.
const MOST_TITLES: usize = 8;

/// What the beginning of a file shows.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) delimiter: u8,
    /// Records above the first row: the header and what stands above it.
    pub(super) header_records: usize,
    /// The names of the columns, trimmed.
    pub(super) header: Vec<String>,
    pub(super) columns: Columns,
    /// The first rows, without empty ones and without those that are not UTF-8.
    pub(super) rows: Vec<Row>,
    /// There are more rows, but they are not UTF-8.
    pub(super) has_unreadable_rows: bool,
}

/// A row of the beginning.
#[derive(Debug)]
pub(super) struct Row {
    /// Number of its first line, from 1.
    pub(super) line: u64,
    cells: ByteRecord,
}

impl Row {
    /// The trimmed text of a cell; empty when there is none.
    pub(super) fn cell(&self, column: usize) -> &str {
        let text = self.cells.get(column).and_then(|cell| std::str::from_utf8(cell).ok());
        text.map_or("", content)
    }
}

impl Head {
    /// Reads the first bytes of a file; `whole` when they are all there is.
    ///
    /// # Errors
    /// A sentence when they are no CSV file with a coin and a price.
    pub(super) fn read(bytes: &[u8], whole: bool, declared: &Declared) -> Result<Self, String> {
        no_table::refuse(bytes)?;
        let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
        let Reading { delimiter, header_records, header, columns } = choose_header(bytes, declared)?;
        let complete = complete_records(bytes, delimiter);
        if complete == 0 && !whole {
            return Err(format!("its first record does not end within {HEAD_BYTES} bytes"));
        }
        let (mut rows, mut has_unreadable_rows) = read_rows(&bytes[..complete], delimiter, header_records);
        if rows.is_empty() && whole {
            // Perhaps a last line without an end, which a writer may not have finished.
            (rows, has_unreadable_rows) = read_rows(bytes, delimiter, header_records);
        }
        Ok(Self { delimiter, header_records, header, columns, rows, has_unreadable_rows })
    }

    /// The trimmed cells of a column.
    pub(super) fn cells(&self, column: usize) -> impl Iterator<Item = &str> + Clone {
        self.rows.iter().map(move |row| row.cell(column))
    }
}

/// A way to read the beginning.
struct Reading {
    delimiter: u8,
    header_records: usize,
    header: Vec<String>,
    columns: Columns,
}

/// The delimiter under which the first record names a coin and a price, and that record.
fn choose_header(bytes: &[u8], declared: &Declared) -> Result<Reading, String> {
    let hint = delimiter_hint(bytes);
    let titles = usize::from(hint.is_some());
    let skips = declared.skip_lines.map_or(titles..=titles + MOST_TITLES, |lines| lines..=lines);
    let delimiters = declared.delimiter.or(hint).map_or(DELIMITERS.to_vec(), |delimiter| vec![delimiter]);
    let mut missing = None;
    for skip in skips {
        let readings = readings(bytes, declared, &delimiters, skip)?;
        let titles_only = readings.iter().all(|reading| is_title(&reading.header));
        match plausible(readings)? {
            Ok(reading) => return Ok(reading),
            Err(what) => _ = missing.get_or_insert(what),
        }
        if !titles_only {
            break;
        }
    }
    Err(missing.unwrap_or_default())
}

/// Whether a line above the header is meant for people.
fn is_title(cells: &[String]) -> bool {
    cells.iter().filter(|cell| !cell.is_empty()).count() < 2 || cells[0].starts_with('#')
}

/// The delimiter that a first line like `sep=;` names, which spreadsheets write for one another.
fn delimiter_hint(bytes: &[u8]) -> Option<u8> {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    match line.split_at_checked(4)? {
        (word, [delimiter]) if word.eq_ignore_ascii_case(b"sep=") && DELIMITERS.contains(delimiter) => {
            Some(*delimiter)
        }
        _ => None,
    }
}

/// The header under every delimiter that it may have.
fn readings(
    bytes: &[u8],
    declared: &Declared,
    delimiters: &[u8],
    skip: usize,
) -> Result<Vec<Reading>, String> {
    let reading = |delimiter: &u8| {
        let delimiter = *delimiter;
        let first = read_header(bytes, delimiter, skip)?;
        let (header, header_records) = match &declared.header {
            // The delimiter is the one that makes as many cells as there are names.
            Some(names) if names.len() == first.len() => (names.clone(), skip),
            Some(_) => (Vec::new(), skip),
            None => (first, skip + 1),
        };
        let mut columns = Columns::of(&header);
        let known = columns.declare(declared, &header);
        let reading = Reading { delimiter, header_records, header, columns };
        Ok((reading, known.err()))
    };
    let readings: Vec<(Reading, Option<String>)> =
        delimiters.iter().map(reading).collect::<Result<_, String>>()?;
    if let Some(names) =
        declared.header.as_ref().filter(|_| readings.iter().all(|(r, _)| r.header.is_empty()))
    {
        return Err(format!(
            "the CSV map names {} columns, but its first line does not have as many cells",
            names.len()
        ));
    }
    // Under a wrong delimiter no declared column is found either.
    if let Some((reading, Some(name))) = readings
        .iter()
        .filter(|_| readings.iter().all(|(_, unknown)| unknown.is_some()))
        .max_by_key(|(reading, _)| reading.header.len())
    {
        return Err(format!(
            "the CSV map names the column {name:?}, which it does not have; its columns are {}",
            listed(&reading.header)
        ));
    }
    Ok(readings.into_iter().filter(|(_, unknown)| unknown.is_none()).map(|(reading, _)| reading).collect())
}

/// The one reading that makes sense, else what all of them lack.
fn plausible(mut readings: Vec<Reading>) -> Result<Result<Reading, String>, String> {
    let suffices = |reading: &Reading| reading.columns.suffice();
    match readings.iter().filter(|reading| suffices(reading)).count() {
        0 => {
            let widest = readings.iter().max_by_key(|reading| reading.header.len());
            Ok(Err(widest.map_or_else(String::new, |reading| what_is_missing(&reading.header, &reading.columns))))
        }
        1 => Ok(readings.iter().position(suffices).map(|at| readings.swap_remove(at)).ok_or_else(String::new)),
        _ => Err("its header can be read with more than one delimiter; declare it in a CSV map (CSV_MAP): delimiter = \";\"".to_owned()),
    }
}

fn read_header(bytes: &[u8], delimiter: u8, skip: usize) -> Result<Vec<String>, String> {
    let mut records = Records::new(bytes, delimiter);
    for _ in 0..skip {
        records.next().map_err(|error| error.to_string())?;
    }
    let record = records.next().map_err(|error| error.to_string())?;
    let Some(record) = record else {
        // The lines above it may be all there is.
        return if skip == 0 { Err("it holds nothing but blank lines".to_owned()) } else { Ok(Vec::new()) };
    };
    let cell = |bytes: &[u8]| {
        match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(trim(trim(text).trim_matches('"')).to_owned()),
        _ => Err("its header is not UTF-8 text; save it as UTF-8, or declare its encoding in a CSV map (CSV_MAP): encoding = \"windows-1252\"".to_owned()),
    }
    };
    record.iter().map(cell).collect()
}

fn what_is_missing(header: &[String], columns: &Columns) -> String {
    // A column is hardly ever called by a number.
    if header.iter().any(|cell| Decimal::parse(cell).is_ok()) {
        return format!(
            "it seems to have no header: where the names of the columns should be, it holds {}; declare them in a CSV map \
             (CSV_MAP): header = [\"id\", \"price\"]",
            listed(header)
        );
    }
    let missing = if columns.has_coin() {
        "no column with a price in US dollars (such as price_usd, price, current_price or close); if one of them is, declare it \
         in a CSV map (CSV_MAP): [file.columns] price_usd = \"...\""
    } else {
        NO_COIN
    };
    format!(
        "it has {missing}; its columns are {} (if that is no header, say in the CSV map how many lines stand above it: skip_lines = 1)",
        listed(header)
    )
}

/// The names of the columns, for people: not more than fit, and nothing that a terminal would obey.
fn listed(header: &[String]) -> String {
    const MOST: usize = 30;
    let name = |cell: &String| cell.chars().take(40).collect::<String>().escape_debug().to_string();
    let names: Vec<String> = header.iter().take(MOST).map(name).collect();
    let more = if header.len() > MOST { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

/// Length of the records that end within the bytes.
fn complete_records(bytes: &[u8], delimiter: u8) -> usize {
    let (mut scanner, mut end) = (Scanner::new(delimiter), 0);
    while let Some(length) = scanner.record_end(&bytes[end..]) {
        end += length;
    }
    end
}

/// The rows that can be read, and whether there are others.
fn read_rows(bytes: &[u8], delimiter: u8, header_records: usize) -> (Vec<Row>, bool) {
    let mut records = Records::new(bytes, delimiter);
    let (mut rows, mut line, mut counted) = (Vec::new(), 1, 0);
    let (mut above, mut unreadable) = (header_records, false);
    while let Ok(Some(record)) = records.next() {
        let cells = record.clone();
        line += line_ends(&bytes[counted..records.start()]);
        counted = records.start();
        let readable = cells.iter().all(|cell| std::str::from_utf8(cell).is_ok());
        unreadable |= !readable;
        if above == 0 && readable && !is_blank(&cells) {
            rows.push(Row { line, cells });
        }
        above = above.saturating_sub(1);
    }
    (rows, unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], whole: bool) -> Result<Head, String> {
        Head::read(bytes, whole, &Declared::default())
    }

    fn refusal(bytes: &[u8]) -> String {
        read(bytes, true).unwrap_err()
    }

    #[test]
    fn the_delimiter_is_the_one_that_makes_sense() {
        for (text, delimiter) in [
            ("id,price\na,1\n", b','),
            ("id;price\na;1\n", b';'),
            ("id\tprice\na\t1\n", b'\t'),
            ("id|price\na|1\n", b'|'),
            ("coin,\tprice\nBitcoin,\t$1,\n", b','),
            ("sep=;\nid;price\na;1\n", b';'),
            ("\"sep=,\"\r\nPrices of today\r\nid,price\r\na,1\r\n", b','),
            ("# Source: example.com, 2024-01-01\n# one, two\nid,price\na,1\n", b','),
            ("Prices,,\n,,\nof today\nand\nyesterday\nid,price,\na,1,\n", b','),
            ("#,id,price\n1,a,1\n", b','),
        ] {
            let head = read(text.as_bytes(), true).unwrap();
            assert_eq!(head.delimiter, delimiter, "{text}");
            assert_eq!(head.rows.len(), 1);
        }
    }

    #[test]
    fn rows_know_their_lines() {
        let head =
            read(b"\xEF\xBB\xBF\r\nid,price\r\n\r\n\"a\r\nb\",1\r\n,,\r\nc,2\r\nhalf,3", true).unwrap();
        let rows: Vec<_> = head.rows.iter().map(|row| (row.line, row.cell(0), row.cell(1))).collect();
        assert_eq!(rows, [(4, "a\r\nb", "1"), (7, "c", "2")]);
        let only = read(b"id,price\na,1", true).unwrap();
        assert_eq!(only.rows.len(), 1);
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        assert!(refusal(b"").contains("empty"));
        assert!(refusal(b"\n\n").contains("blank lines"));
        assert!(refusal(b"PK\x03\x04....").contains("spreadsheet"));
        assert!(refusal(b"\xD0\xCF\x11\xE0....").contains(".xls"));
        assert!(refusal(b"\xEF\xBB\xBF <!doctype html>\n").contains("HTML"));
        assert!(refusal(b"[\n {\"id\": \"bitcoin\", \"price\": 1}\n]").contains("JSON"));
        assert!(refusal(b"i\0d\0,\0p\0r\0i\0c\0e\0\n\0").contains("UTF-16"));
        assert!(refusal(b"id,price,caf\xE9\n").contains("UTF-8"));
    }

    #[test]
    fn what_is_missing_is_said_with_the_columns_seen() {
        let missing = refusal(b"Date,Open,Close\n");
        assert!(missing.contains("which coin") && missing.contains("Date, Open, Close"), "{missing}");
        let missing = refusal(b"id,name,\x1b[31mrank\n");
        assert!(missing.contains("price in US dollars") && !missing.contains('\x1b'), "{missing}");
        assert!(refusal(b"id;price;a|id|price\n").contains("more than one"));
        let headless = refusal(b"1609459200000,28923.63,Bitcoin\n");
        assert!(headless.contains("no header") && headless.contains("28923.63, Bitcoin"), "{headless}");
    }

    #[test]
    fn a_header_without_an_end_is_refused() {
        let endless = [b"id,price,\"".to_vec(), vec![b'x'; 1000]].concat();
        assert!(read(&endless, false).unwrap_err().contains("does not end"));
    }
}
