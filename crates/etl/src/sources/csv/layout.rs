//! What the columns of a file hold: decided once, from its beginning, before any row is loaded.

use super::candles;
use super::coin::CoinColumns;
use super::columns::{Role, says_percent};
use super::grain::is_too_coarse;
use super::head::Head;
use super::map::{ChangeUnit, Declared};
use super::number::{Notation, Shape, Style, shape_in};
use super::style::find_style;
use super::time_column::TimeColumn;

/// How the rows of a file are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(super) delimiter: u8,
    /// Records above the first row.
    pub(super) header_records: usize,
    /// The names of the columns as sent, without the blanks around them.
    pub(super) header: Vec<String>,
    pub(super) coin: CoinColumns,
    /// `None` when the file is a snapshot without times.
    pub(super) time: Option<TimeColumn>,
    pub(super) figures: Figures,
    pub(super) style: Style,
}

/// The columns of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) price: usize,
    pub(super) rank: Option<usize>,
    pub(super) market_cap: Option<usize>,
    pub(super) volume: Option<usize>,
    pub(super) change: Option<Change>,
    pub(super) circulating_supply: Option<usize>,
    pub(super) total_supply: Option<usize>,
    pub(super) max_supply: Option<usize>,
}

/// The column of the change in 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) column: usize,
    /// The name of the column does not say per cent, so every cell must.
    pub(super) needs_sign: bool,
    /// It is declared to hold fractions: 0.015 is 1.5 %.
    pub(super) is_fraction: bool,
}

impl Layout {
    /// Decides from the beginning of a file. What it leaves out is said in `warnings`.
    ///
    /// # Errors
    /// A sentence when the file cannot be read without guessing.
    pub(super) fn of(head: &Head, declared: &Declared, warnings: &mut Vec<String>) -> Result<Self, String> {
        if let Some((first, second)) = head.columns.duplicate() {
            return Err(format!(
                "the columns {} ({:?}) and {} ({:?}) mean the same; leave one of them, or declare in a CSV map (CSV_MAP) \
                 which one counts: [file.columns]",
                first + 1,
                head.header[first],
                second + 1,
                head.header[second]
            ));
        }
        let coin = CoinColumns::of(head, &declared.coin, warnings)?;
        let mut figures = choose_figures(head, declared, warnings)?;
        let time = TimeColumn::of(head, declared, |time| {
            is_too_coarse(head, &coin, figures.price, |row| time.read(|column| row.cell(column)))
        })?;
        if let Some(volume) = figures.volume
            && !declared.columns.contains_key(&Role::Volume)
            && let Some(reason) = candles::of_another_volume(head, &coin, time.as_ref(), volume)
        {
            warnings.push(format!("the column {:?} {reason}: it is left out", head.header[volume]));
            figures.volume = None;
        }
        let style = match declared.notation {
            Some(notation) => Style { notation: Some(notation), ..Style::default() },
            None => find_style(head, &figures)?,
        };
        let (delimiter, header_records, header) = (head.delimiter, head.header_records, head.header.clone());
        Ok(Self { delimiter, header_records, header, coin, time, figures, style })
    }

    /// Columns that have a name or a named one behind them.
    pub(super) fn named_columns(&self) -> usize {
        self.header.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1)
    }

    /// Whether a row that is cut off in its last cell could be taken for a row of another coin or time.
    pub(super) fn ends_with_key(&self) -> bool {
        let last = self.named_columns().saturating_sub(1);
        self.coin.uses(last) || self.time.as_ref().is_some_and(|time| time.uses(last))
    }
}

/// What the cells of a column look like.
#[derive(Default)]
struct Looks {
    /// Cells that hold something.
    filled: usize,
    numbers: usize,
    percent: usize,
    suffixed: usize,
}

impl Looks {
    fn of(head: &Head, column: usize, notation: Option<Notation>) -> Self {
        let mut looks = Self::default();
        for cell in head.cells(column) {
            match shape_in(cell, notation) {
                Shape::Absent => continue,
                Shape::Percent => looks.percent += 1,
                Shape::Suffix => looks.suffixed += 1,
                Shape::Text | Shape::PointGroups => {}
                _ => looks.numbers += 1,
            }
            looks.filled += 1;
        }
        looks
    }

    /// Enough to be a habit of the file: a slip in one of many rows costs that row, not the column.
    fn habit(&self, cells: usize) -> bool {
        cells * 20 >= self.filled.max(1)
    }

    /// Why the column does not hold amounts of dollars or coins.
    fn no_amounts(&self) -> Option<&'static str> {
        if self.habit(self.percent) {
            Some("holds percentages")
        } else if self.habit(self.suffixed) {
            Some(
                "holds numbers with words, such as 1.2 Million, which are rounded for display or of another unit",
            )
        } else if self.numbers * 2 < self.filled {
            Some(
                "holds no numbers (if they are written in another way, declare it in a CSV map: decimal, group)",
            )
        } else {
            None
        }
    }
}

fn choose_figures(head: &Head, declared: &Declared, warnings: &mut Vec<String>) -> Result<Figures, String> {
    let notation = declared.notation;
    let price = choose_price(head, notation, warnings)?;
    let mut amount = |role| {
        head.columns.of_role(role).find(|column| match Looks::of(head, *column, notation).no_amounts() {
            None => true,
            Some(reason) => {
                warnings.push(format!("the column {:?} {reason}: it is left out", head.header[*column]));
                false
            }
        })
    };
    Ok(Figures {
        price,
        rank: amount(Role::Rank),
        market_cap: amount(Role::MarketCap),
        volume: amount(Role::Volume),
        circulating_supply: amount(Role::CirculatingSupply),
        total_supply: amount(Role::TotalSupply),
        max_supply: amount(Role::MaxSupply),
        change: choose_change(head, declared, warnings),
    })
}

/// A row without a readable price is refused, so the column may hold some of them; but not for the most part.
fn choose_price(
    head: &Head,
    notation: Option<Notation>,
    warnings: &mut Vec<String>,
) -> Result<usize, String> {
    let mut refused = None;
    for column in head.columns.of_role(Role::Price) {
        let looks = Looks::of(head, column, notation);
        if looks.numbers * 2 >= looks.filled {
            warnings.extend(refused);
            return Ok(column);
        }
        let reason = looks.no_amounts().unwrap_or("holds few numbers");
        refused.get_or_insert_with(|| {
            format!("the column {:?} {reason}, not prices in US dollars", head.header[column])
        });
    }
    Err(refused.unwrap_or_else(|| "it has no column with a price in US dollars".to_owned()))
}

fn choose_change(head: &Head, declared: &Declared, warnings: &mut Vec<String>) -> Option<Change> {
    for column in head.columns.of_role(Role::Change) {
        let looks = Looks::of(head, column, declared.notation);
        let is_fraction = declared.change == Some(ChangeUnit::Fraction);
        let needs_sign = declared.change.is_none() && !says_percent(&head.header[column]);
        let signed = looks.percent > 0 && looks.percent * 20 >= looks.filled * 19;
        if signed || (!needs_sign && (looks.numbers + looks.percent) * 2 >= looks.filled) {
            return Some(Change { column, needs_sign, is_fraction });
        }
        warnings.push(format!(
            "the column {:?} does not show that it is in per cent: it is left out; a CSV map (CSV_MAP) can declare it: \
             change = \"percent\" or \"fraction\"",
            head.header[column]
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::csv::map::GivenCoin;

    fn layout(text: &str) -> Result<Layout, String> {
        declared(text, &Declared::default())
    }

    fn declared(text: &str, declared: &Declared) -> Result<Layout, String> {
        Layout::of(&Head::read(text.as_bytes(), true, declared)?, declared, &mut Vec::new())
    }

    fn warnings(text: &str) -> (Figures, Vec<String>) {
        let mut warnings = Vec::new();
        let layout = Layout::of(
            &Head::read(text.as_bytes(), true, &Declared::default()).unwrap(),
            &Declared::default(),
            &mut warnings,
        )
        .unwrap();
        (layout.figures, warnings)
    }

    #[test]
    fn the_format_of_the_original_is_read() {
        let layout =
            layout("id,name,price_usd,market_cap_usd,volume_24h_usd\nbitcoin,Bitcoin,1.5,2,3\n").unwrap();
        assert_eq!(
            layout.coin,
            CoinColumns {
                id: Some(0),
                name: Some(1),
                symbol: None,
                pairs: false,
                given: GivenCoin::default(),
                alike: Vec::new()
            }
        );
        assert_eq!(
            (layout.figures.price, layout.figures.market_cap, layout.figures.volume),
            (2, Some(3), Some(4))
        );
        assert_eq!((&layout.time, layout.style), (&None, Style::default()));
        assert!(!layout.ends_with_key());
    }

    #[test]
    fn contents_overrule_names() {
        let (figures, said) = warnings(
            "id,price,total_volume,volume,total_supply\na,$1.00,0.5%,\"$1,234.00\",21 Million\nb,2,1%,5,5\n",
        );
        assert_eq!((figures.volume, figures.total_supply), (Some(3), None));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("total_volume") && said[0].contains("percentages"));
        assert!(said[1].contains("rounded for display"));
    }

    #[test]
    fn what_was_traded_in_an_hour_is_no_volume_of_a_day() {
        let header = "date,symbol,open,high,low,close,volume\n";
        let row = |time: &str| format!("2024-01-{time},BTC,1,1,1,1,5\n");
        let volume = |times: [&str; 3]| {
            let rows: String = times.map(row).concat();
            warnings(&format!("{header}{rows}")).0.volume
        };
        assert_eq!(volume(["01 00:00", "01 01:00", "01 02:00"]), None);
        assert_eq!(volume(["01 00:00", "02 00:00", "03 00:00"]), Some(6));
        assert_eq!(volume(["01", "02", "02"]), Some(6));
        let listing = "date,symbol,price,volume\n2024-01-01 00:00,BTC,1,5\n2024-01-01 01:00,BTC,1,5\n";
        assert_eq!(warnings(listing).0.volume, Some(3));
    }

    #[test]
    fn a_slip_costs_a_row_and_not_the_column() {
        let rows: String = (0..50).map(|n| format!("c{n},1,{n}\n")).collect();
        let (figures, said) = warnings(&format!("id,price,volume\n{rows}x,1,5%\ny,1,abc\n"));
        assert_eq!((figures.volume, said.len()), (Some(2), 0));
    }

    #[test]
    fn a_change_must_say_that_it_is_in_per_cent() {
        let change = |text: &str| warnings(text).0.change;
        assert_eq!(change("id,price,24h\na,1,0.022\n"), None);
        assert_eq!(
            change("id,price,24h\na,1,2.2%\nb,1,-\n"),
            Some(Change { column: 2, needs_sign: true, is_fraction: false })
        );
        assert_eq!(
            change("id,price,percent_change_24h\na,1,2.2\n"),
            Some(Change { column: 2, needs_sign: false, is_fraction: false })
        );
        assert_eq!(change("id,price,price_change_24h\na,1,-198.6\n"), None);
        assert_eq!(
            change("id,price,Change(24)\na,1,+nan%\nb,1,0.1%\n"),
            Some(Change { column: 2, needs_sign: true, is_fraction: false })
        );
    }

    #[test]
    fn prices_must_be_numbers() {
        assert!(layout("id,price\na,cheap\nb,dear\n").unwrap_err().contains("no numbers"));
        assert!(layout("id,price\na,1%\n").unwrap_err().contains("percentages"));
        assert_eq!(layout("id,price,close\na,x,1\n").unwrap().figures.price, 2);
        assert_eq!(layout("id,price\na,\n").unwrap().figures.price, 1);
    }

    #[test]
    fn decimal_commas_are_refused_with_their_line() {
        for cell in ["\"1,5\"", "\"US$26.247,60\"", "\"0,123\""] {
            let refusal = layout(&format!("id,price\na,1\nb,{cell}\n")).unwrap_err();
            assert!(refusal.contains("line 3") && refusal.contains("decimal comma"), "{refusal}");
        }
        assert!(layout("id;price\na;1,5\n").unwrap_err().contains("line 2"));
        assert!(layout("id;price;24h %\na;1;1,5%\n").unwrap_err().contains("1,5%"));
        assert!(layout("id,price\na,\"1,234.50\"\nb,\"1,5\"\n").unwrap().style.comma_groups);
        assert!(layout("id,price\na,\"1,234.50\"\nb,\"1.234,50\"\n").is_err());
    }

    #[test]
    fn a_point_is_in_doubt_where_the_comma_may_be_decimal() {
        let refusal = layout("id;price;market cap\na;45.123;850.123\n").unwrap_err();
        assert!(refusal.contains("45.123") && refusal.contains("decimal"), "{refusal}");
        assert!(layout("id;price;market cap\na;45.123;850.12\n").is_ok());
        assert!(layout("id,price\na,45.123\n").is_ok());
    }

    #[test]
    fn one_group_is_no_evidence() {
        assert_eq!(layout("id,price\na,\"1,234\"\n").unwrap().style, Style::default());
        assert!(layout("id,price\na,\"1,234\"\nb,\"1,95,49,806\"\n").unwrap().style.comma_groups);
        assert!(layout("id,price\na,1.057.030\nb,5\n").unwrap().style.point_groups);
    }

    #[test]
    fn duplicates_that_matter_are_refused() {
        assert!(layout("id,price,volume,Volume\na,1,2,3\n").unwrap_err().contains("columns 3"));
        assert!(layout("id,price,foo,foo\na,1,2,3\n").is_ok());
    }

    #[test]
    fn a_key_in_the_last_column_is_known() {
        assert!(layout("price,id\n1,a\n").unwrap().ends_with_key());
        assert!(layout("id,price,date,,\na,1,2021-07-06,,\n").unwrap().ends_with_key());
        assert!(!layout("id,price,name\na,1,A\n").unwrap().ends_with_key());
    }
}
