//! Brings one row to the unified record, or says why not.

use ::csv::ByteRecord;
use chrono::{DateTime, TimeDelta, Utc};
use compact_str::CompactString;
use kasparro_core::{Decimal, MarketRecord, RejectCode, Values};

use super::layout::Layout;
use super::number::{self, NumberError, Unit};
use super::pairs::in_dollars;
use super::records::content;
use super::time::{earliest, time_of_day};

const MOST_ID_BYTES: usize = 200;
const MOST_LABEL_BYTES: usize = 400;

/// Why a row is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) code: RejectCode,
    /// The column that was refused; `None` when the row as a whole was.
    pub(super) column: Option<usize>,
    pub(super) message: String,
}

/// Reads the rows of one chunk.
pub(super) struct RowReader<'l> {
    layout: &'l Layout,
    named_columns: usize,
    earliest: DateTime<Utc>,
    latest: DateTime<Utc>,
}

impl<'l> RowReader<'l> {
    /// A time more than a day after `fetched_at` is in the future.
    pub(super) fn new(layout: &'l Layout, fetched_at: DateTime<Utc>) -> Self {
        let latest = fetched_at + TimeDelta::days(1);
        Self { layout, named_columns: layout.named_columns(), earliest: earliest(), latest }
    }

    /// Reads one row.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(super) fn read(&self, row: &ByteRecord, position: u32) -> Result<MarketRecord, Flaw> {
        self.check_width(row)?;
        let row = Cells::of(row)?;
        let coin = &self.layout.coin;
        for (column, most) in
            [(coin.id, MOST_ID_BYTES), (coin.name, MOST_LABEL_BYTES), (coin.symbol, MOST_LABEL_BYTES)]
        {
            if let Some(column) = column {
                self.check_label(row, column, most)?;
            }
        }
        self.check_pair(row)?;
        self.check_coin(row)?;
        let [id, name, symbol] = coin.texts(|column| row.cell(column));
        Ok(MarketRecord {
            crypto_id: self.crypto_id(id, name, symbol)?,
            crypto_name: some_text(name),
            symbol: some_text(symbol),
            observed_at: self.time(row)?,
            position,
            values: self.values(row)?,
        })
    }

    /// Cells behind the last named column are leftovers when they are empty.
    fn check_width(&self, row: &ByteRecord) -> Result<(), Flaw> {
        let header = self.layout.header.len();
        let surplus = row.iter().skip(header).any(|cell| !cell.trim_ascii().is_empty());
        if row.len() >= self.named_columns && !surplus {
            return Ok(());
        }
        let message = format!("the row has {} cells, the header {header}", row.len());
        Err(Flaw { code: RejectCode::MalformedRecord, column: None, message })
    }

    fn check_label(&self, row: Cells<'_>, column: usize, most: usize) -> Result<(), Flaw> {
        let text = row.cell(column);
        if text.len() > most {
            let message = format!("{} has {} bytes, at most {most} are kept", self.name(column), text.len());
            return Err(Flaw { code: RejectCode::TextTooLong, column: Some(column), message });
        }
        // Line breaks inside a quoted name are real; elsewhere, and other control characters, are damage.
        let may_break = self.layout.coin.name == Some(column);
        if text.chars().any(|c| c.is_control() && !(may_break && c.is_whitespace())) {
            let message = format!("{} holds control characters: {}", self.name(column), shown(text));
            return Err(Flaw { code: RejectCode::InvalidText, column: Some(column), message });
        }
        Ok(())
    }

    /// In a file of pairs with dollars, another one says nothing in dollars.
    fn check_pair(&self, row: Cells<'_>) -> Result<(), Flaw> {
        let Some(column) = self.layout.coin.symbol.filter(|_| self.layout.coin.pairs) else { return Ok(()) };
        let pair = row.cell(column);
        if pair.is_empty() || in_dollars(pair).is_some() {
            return Ok(());
        }
        let message = format!("{} {} is no pair with USD, as the others are", self.name(column), shown(pair));
        Err(Flaw { code: RejectCode::InvalidText, column: Some(column), message })
    }

    /// In a file that is declared to be about one coin, a row about another is none of its.
    fn check_coin(&self, row: Cells<'_>) -> Result<(), Flaw> {
        let is_other = |cell: &str, text: &str| !cell.is_empty() && !cell.eq_ignore_ascii_case(text);
        let mut alike = self.layout.coin.alike.iter();
        let Some((column, text)) = alike.find(|(column, text)| is_other(row.cell(*column), text)) else {
            return Ok(());
        };
        let message = format!(
            "{} {} is another than {text:?} in the rows before; the CSV map declares that the file is about one coin",
            self.name(*column),
            shown(row.cell(*column))
        );
        Err(Flaw { code: RejectCode::InvalidText, column: Some(*column), message })
    }

    fn crypto_id(&self, id: &str, name: &str, symbol: &str) -> Result<CompactString, Flaw> {
        let coin = &self.layout.coin;
        let crypto_id = coin.crypto_id(id, name, symbol);
        let column = coin.id.or(coin.name).or(coin.symbol);
        if crypto_id.is_empty() {
            let message = "the row does not say which coin it is about".to_owned();
            return Err(Flaw { code: RejectCode::MissingId, column, message });
        }
        if crypto_id.len() > MOST_ID_BYTES {
            let message = format!(
                "the id made of symbol and name has {} bytes, at most {MOST_ID_BYTES} are kept",
                crypto_id.len()
            );
            return Err(Flaw { code: RejectCode::TextTooLong, column, message });
        }
        Ok(CompactString::from(crypto_id))
    }

    fn time(&self, row: Cells<'_>) -> Result<Option<DateTime<Utc>>, Flaw> {
        let Some(time) = &self.layout.time else { return Ok(None) };
        let flaw = |code, column, what: &str| {
            let message = format!("{} {} {what}", self.name(column), shown(row.cell(column)));
            Err(Flaw { code, column: Some(column), message })
        };
        let column = time.column;
        if let Some(empty) =
            [Some(column), time.clock].into_iter().flatten().find(|c| row.cell(*c).is_empty())
        {
            return flaw(RejectCode::MissingTime, empty, "is empty, other rows have a time");
        }
        let Some(day) = time.form.read(row.cell(column)) else {
            return flaw(RejectCode::InvalidTime, column, "is no time in the form of this column");
        };
        let since_midnight = match time.clock {
            None => TimeDelta::zero(),
            Some(clock) => match time_of_day(row.cell(clock)) {
                None => return flaw(RejectCode::InvalidTime, clock, "is no time of day"),
                Some(since) => since,
            },
        };
        match day + since_midnight {
            time if time < self.earliest => flaw(RejectCode::TimeOutOfRange, column, "is before Bitcoin"),
            time if time > self.latest => flaw(RejectCode::TimeOutOfRange, column, "is in the future"),
            time => Ok(Some(time)),
        }
    }

    fn values(&self, row: Cells<'_>) -> Result<Values, Flaw> {
        let figures = &self.layout.figures;
        let amount = |column: Option<usize>| column.map_or(Ok(None), |column| self.amount(row, column));
        Ok(Values {
            price_usd: self.amount(row, figures.price)?,
            market_cap_usd: amount(figures.market_cap)?,
            volume_24h_usd: amount(figures.volume)?,
            change_24h_percent: self.change(row)?,
            rank: self.rank(row)?,
            circulating_supply: amount(figures.circulating_supply)?,
            total_supply: amount(figures.total_supply)?,
            max_supply: amount(figures.max_supply)?,
        })
    }

    fn amount(&self, row: Cells<'_>, column: usize) -> Result<Option<Decimal>, Flaw> {
        let number = self.number(row, column, Unit::Amount)?;
        if number.as_ref().is_some_and(|number| number.minus) {
            let message = format!("{} {} is below zero", self.name(column), shown(row.cell(column)));
            return Err(Flaw { code: RejectCode::NegativeNumber, column: Some(column), message });
        }
        Ok(number.map(|number| number.value))
    }

    fn change(&self, row: Cells<'_>) -> Result<Option<Decimal>, Flaw> {
        let Some(change) = self.layout.figures.change else { return Ok(None) };
        let number = self.number(row, change.column, Unit::Percent)?;
        let text = row.cell(change.column);
        if change.needs_sign
            && number.as_ref().is_some_and(|number| !number.value.is_zero())
            && !number::is_percent(text)
        {
            let message =
                format!("{} {} lacks the % that the other rows have", self.name(change.column), shown(text));
            return Err(Flaw { code: RejectCode::InvalidNumber, column: Some(change.column), message });
        }
        let is_fraction = change.is_fraction && !number::is_percent(text);
        let scaled = number.map(|number| if is_fraction { number.in_percent() } else { Ok(number) });
        let number = scaled.transpose().map_err(|error| self.flaw(row, change.column, error))?;
        Ok(number.map(|number| number.value))
    }

    /// 0 is how listings say "unranked".
    fn rank(&self, row: Cells<'_>) -> Result<Option<i32>, Flaw> {
        let Some(column) = self.layout.figures.rank else { return Ok(None) };
        let Some(number) = self.number(row, column, Unit::Amount)? else { return Ok(None) };
        let flaw = |code, what| {
            let message = format!("{} {} {what}", self.name(column), shown(row.cell(column)));
            Err(Flaw { code, column: Some(column), message })
        };
        let (whole, fraction) = number.value.as_str().split_once('.').unwrap_or((number.value.as_str(), ""));
        if number.minus || !fraction.bytes().all(|digit| digit == b'0') {
            return flaw(RejectCode::InvalidNumber, "is no rank");
        }
        match whole.parse() {
            Ok(0) => Ok(None),
            Ok(rank) => Ok(Some(rank)),
            Err(_) => flaw(RejectCode::NumberOutOfRange, "is no rank of any listing"),
        }
    }

    fn number(&self, row: Cells<'_>, column: usize, unit: Unit) -> Result<Option<number::Number>, Flaw> {
        let text = row.cell(column);
        number::read(text, unit, self.layout.style).map_err(|error| self.flaw(row, column, error))
    }

    fn flaw(&self, row: Cells<'_>, column: usize, error: NumberError) -> Flaw {
        let (code, what) = match error {
            NumberError::Malformed => {
                (RejectCode::InvalidNumber, "is not a number in the style of this file")
            }
            NumberError::OutOfRange => (RejectCode::NumberOutOfRange, "has more digits than are kept"),
            NumberError::Ambiguous => (
                RejectCode::AmbiguousNumber,
                "may be a decimal number or one in groups of three digits; declare in a CSV map (CSV_MAP) which it is, decimal = \".\" or \
                 decimal = \",\", and run `kasparro-etl reprocess --source csv`",
            ),
        };
        let message = format!("{} {} {what}", self.name(column), shown(row.cell(column)));
        Flaw { code, column: Some(column), message }
    }

    fn name(&self, column: usize) -> &str {
        self.layout.header.get(column).map_or("", String::as_str)
    }
}

/// The cells of a row whose text was checked, once for all that is read of them.
#[derive(Clone, Copy)]
pub(super) struct Cells<'r> {
    record: &'r ByteRecord,
    /// All cells, one behind the other.
    text: &'r str,
}

impl<'r> Cells<'r> {
    /// A row is refused as a whole: in a file of another encoding the cells that happen to be readable are luck.
    ///
    /// # Errors
    /// When a cell is not UTF-8.
    pub(super) fn of(record: &'r ByteRecord) -> Result<Self, Flaw> {
        let is_broken = |cell: &[u8]| std::str::from_utf8(cell).is_err();
        match std::str::from_utf8(record.as_slice()) {
            Ok(text) if text.is_ascii() || !record.iter().any(is_broken) => Ok(Self { record, text }),
            _ => {
                let column = record.iter().position(is_broken).unwrap_or_default();
                let message = format!(
                    "cell {} is not UTF-8; save the file as UTF-8, or declare its encoding in a CSV map (CSV_MAP) and touch the file, \
                     so that it is read again: encoding = \"windows-1252\"",
                    column + 1
                );
                Err(Flaw { code: RejectCode::InvalidText, column: Some(column), message })
            }
        }
    }

    /// The trimmed text of one; empty where the row is shorter.
    pub(super) fn cell(self, column: usize) -> &'r str {
        self.record.range(column).and_then(|range| self.text.get(range)).map_or("", content)
    }
}

fn some_text(text: &str) -> Option<CompactString> {
    (!text.is_empty()).then(|| text.into())
}

/// A cell for a message: short, in quotes, without control characters.
fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let head: String = text.chars().take(MOST).collect();
    let more = if head.len() < text.len() { "…" } else { "" };
    format!("{head:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::csv::head::Head;
    use crate::sources::csv::map::Declared;

    /// The rows of a file, read with the layout that they show.
    fn rows(text: &[u8]) -> Vec<Result<MarketRecord, Flaw>> {
        let declared = Declared::default();
        let layout =
            Layout::of(&Head::read(text, true, &declared).unwrap(), &declared, &mut Vec::new()).unwrap();
        let reader = RowReader::new(&layout, "2026-01-01T00:00:00Z".parse().unwrap());
        let mut records = crate::sources::csv::records::Records::new(text, layout.delimiter);
        records.next().unwrap();
        let mut rows = Vec::new();
        while let Some(row) = records.next().unwrap() {
            rows.push(reader.read(row, rows.len() as u32));
        }
        rows
    }

    fn record(text: &str) -> MarketRecord {
        rows(text.as_bytes()).remove(0).unwrap()
    }

    /// Code and column of the last row.
    fn flaw(text: &str) -> (RejectCode, Option<usize>) {
        let flaw = rows(text.as_bytes()).pop().unwrap().unwrap_err();
        (flaw.code, flaw.column)
    }

    fn number(text: &str) -> Option<Decimal> {
        Some(Decimal::parse(text).unwrap())
    }

    #[test]
    fn a_full_row_is_taken_as_sent() {
        let record = record(
            "id,symbol,name,price_usd,market_cap,total_volume,percent_change_24h,rank,circulating_supply,total_supply,max_supply,last_updated\n\
             bitcoin,btc,\u{a0}Bitcoin ,97272.0,1928430242285,1.3e10,-0.20378,1.0,19825068.0,,21000000.0,2025-02-01T10:00:00.5Z\n",
        );
        assert_eq!(
            (&record.crypto_id[..], record.crypto_name.as_deref(), record.symbol.as_deref()),
            ("bitcoin", Some("Bitcoin"), Some("btc"))
        );
        assert_eq!(record.observed_at, Some("2025-02-01T10:00:00.5Z".parse().unwrap()));
        let values = Values {
            rank: Some(1),
            price_usd: number("97272.0"),
            market_cap_usd: number("1928430242285"),
            volume_24h_usd: number("13000000000"),
            change_24h_percent: number("-0.20378"),
            circulating_supply: number("19825068.0"),
            total_supply: None,
            max_supply: number("21000000.0"),
        };
        assert_eq!(record.values, values);
        assert_eq!(record.values.price_usd.unwrap().as_str(), "97272.0");
    }

    #[test]
    fn zero_is_kept_and_absent_is_none() {
        let record = record("id,price,market_cap,volume,rank\na,0,0.0,-,0\n");
        assert_eq!((record.values.price_usd, record.values.market_cap_usd), (number("0"), number("0")));
        assert_eq!(
            (record.values.volume_24h_usd, record.values.rank, record.observed_at),
            (None, None, None)
        );
    }

    #[test]
    fn leftover_cells_are_tolerated_and_ragged_rows_are_not() {
        assert!(rows(b"id,price\na,1,\na,1, ,\t\n").iter().all(Result::is_ok));
        assert!(rows(b"id,price,,\na,1\na,1,,\na,1,x,\n").iter().all(Result::is_ok));
        for row in ["a", "a,1,2", "a,1,,2"] {
            assert_eq!(
                flaw(&format!("id,price,b\nx,1,2\n{row}\n").replace(",b\nx,1,2", "\nx,1")),
                (RejectCode::MalformedRecord, None),
                "{row}"
            );
        }
    }

    #[test]
    fn bad_text_is_refused() {
        assert_eq!(flaw("id,name,price\na,A,1\n,A,1\n"), (RejectCode::MissingId, Some(0)));
        assert_eq!(flaw("id,name,price\na\u{0}b,A,1\n"), (RejectCode::InvalidText, Some(0)));
        assert_eq!(flaw("id,name,price\n\"a\nb\",A,1\n"), (RejectCode::InvalidText, Some(0)));
        assert_eq!(flaw("id,name,price\na,\"A\u{1b}B\",1\n"), (RejectCode::InvalidText, Some(1)));
        assert_eq!(record("id,name,price\na,\"A\nB\",1\n").crypto_name.as_deref(), Some("A\nB"));
        assert_eq!(
            flaw(&format!("id,name,price\n{},A,1\n", "x".repeat(201))),
            (RejectCode::TextTooLong, Some(0))
        );
        assert_eq!(
            flaw(&format!("id,name,price\na,{},1\n", "x".repeat(401))),
            (RejectCode::TextTooLong, Some(1))
        );
        assert_eq!(flaw(&format!("name,price\n{},1\n", "x".repeat(300))), (RejectCode::TextTooLong, Some(0)));
        let flaws = rows(b"id,name,price\na,caf\xE9,1\nb,B,1\n");
        assert_eq!(flaws[0].as_ref().unwrap_err().code, RejectCode::InvalidText);
        assert!(flaws[1].is_ok());
    }

    #[test]
    fn bad_numbers_are_refused_by_code() {
        let good = "id,price,rank,24h\na,1,1,1%\nb,2,2,2%\nc,3,3,3%\n";
        for (row, code, column) in [
            ("x,abc,1,1%", RejectCode::InvalidNumber, 1),
            ("x,1.057.030.998.551.800,1,1%", RejectCode::InvalidNumber, 1),
            ("x,-1,1,1%", RejectCode::NegativeNumber, 1),
            ("x,-0,1,1%", RejectCode::NegativeNumber, 1),
            ("x,$-0.0,1,1%", RejectCode::NegativeNumber, 1),
            ("x,1e400,1,1%", RejectCode::NumberOutOfRange, 1),
            ("x,\"1,234\",1,1%", RejectCode::AmbiguousNumber, 1),
            ("x,1,1.5,1%", RejectCode::InvalidNumber, 2),
            ("x,1,-1,1%", RejectCode::InvalidNumber, 2),
            ("x,1,99999999999,1%", RejectCode::NumberOutOfRange, 2),
            ("x,1,1,0.02", RejectCode::InvalidNumber, 3),
        ] {
            let others = "y,1,1,1%\n".repeat(40);
            assert_eq!(flaw(&format!("{good}{others}{row}\n")), (code, Some(column)), "{row}");
        }
        assert!(
            rows(format!("{good}{}x,1,1,0\nx,1,1,-0.00%\n", "y,1,1,1%\n".repeat(40)).as_bytes())
                .iter()
                .all(Result::is_ok)
        );
    }

    #[test]
    fn bad_times_are_refused_by_code() {
        let good = "id,price,date\na,1,2021-07-06\nb,1,2021-07-07\n";
        for (time, code) in [
            ("", RejectCode::MissingTime),
            ("2021-07-06 10:00:00", RejectCode::InvalidTime),
            ("2021-02-30", RejectCode::InvalidTime),
            ("2009-01-02", RejectCode::TimeOutOfRange),
            ("2026-01-03", RejectCode::TimeOutOfRange),
        ] {
            assert_eq!(flaw(&format!("{good}x,1,{time}\n")), (code, Some(2)), "{time}");
        }
        assert!(rows(format!("{good}x,1,2026-01-02\nx,1,2009-01-03\n").as_bytes()).iter().all(Result::is_ok));
    }

    #[test]
    fn messages_are_short_and_harmless() {
        let flaw = rows(format!("id,price\na,1\nb,{}\x1b[31m\n", "x".repeat(1000)).as_bytes())
            .pop()
            .unwrap()
            .unwrap_err();
        assert!(flaw.message.len() < 200 && !flaw.message.contains('\x1b'), "{}", flaw.message);
    }
}
