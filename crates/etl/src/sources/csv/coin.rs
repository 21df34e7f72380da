//! Which coin a row is about.

use std::borrow::Cow;
use std::collections::HashSet;

use super::columns::Role;
use super::head::Head;
use super::map::GivenCoin;
use super::number::is_no_text;
use super::pairs::{Pairs, currency_columns, in_dollars, refuse_foreign_pairs, refused_pairs};

/// What says which coin a row is about: columns, or what is declared for all rows; at least one is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoinColumns {
    pub(super) id: Option<usize>,
    pub(super) name: Option<usize>,
    pub(super) symbol: Option<usize>,
    /// The symbols are pairs such as `BTC-USD`, all of them with dollars.
    pub(super) pairs: bool,
    pub(super) given: GivenCoin,
    /// Where the coin is given: the columns that say so too, with what they say of it.
    pub(super) alike: Vec<(usize, String)>,
}

/// Said of a file that does not tell which coin its rows are about, with the way out.
pub(super) const NO_COIN: &str = "no column that says which coin a row is about (such as id, name or symbol); if all of it is \
     about one coin, declare it in a CSV map (CSV_MAP): [[file]] path = \"the name of this file\", [file.coin] id = \"bitcoin\"";

impl CoinColumns {
    /// Chooses them by name and by what they hold.
    ///
    /// # Errors
    /// A sentence when the prices are not in dollars, when no column is left, or when there are several coins where one is
    /// declared.
    pub(super) fn of(head: &Head, given: &GivenCoin, warnings: &mut Vec<String>) -> Result<Self, String> {
        let currencies = currency_columns(head)?;
        let mut names = head.columns.of_role(Role::Name).filter(|column| !currencies.contains(column));
        let name = names.find(|column| !only_numbers(head, *column));
        let symbol = head.columns.of_role(Role::Symbol).next();
        if given.is_some() {
            let ids = head.columns.of_role(Role::Id).filter(|column| !counts_rows(head, *column));
            let alike = ids.chain(name).chain(symbol).map(|column| the_one(head, column));
            let alike: Vec<Option<(usize, String)>> = alike.collect::<Result<_, String>>()?;
            // Only what is not given is taken from columns, and no id: the file is about this coin.
            let name = name.filter(|_| given.name.is_none());
            let symbol = symbol
                .filter(|column| given.symbol.is_none() && Pairs::of(head, *column, name) == Pairs::None);
            let (given, alike) = (given.clone(), alike.into_iter().flatten().collect());
            return Ok(Self { id: None, name, symbol, pairs: false, given, alike });
        }
        let pairs = symbol.map_or(Pairs::None, |column| Pairs::of(head, column, name));
        if let (Some(column), Pairs::Others(pair)) = (symbol, &pairs) {
            return Err(refused_pairs(&head.header[column], pair));
        }
        let id = head.columns.of_role(Role::Id).find(|column| {
            let counts = is_row_number(head, *column, name.or(symbol));
            if counts {
                warnings.push(format!(
                    "the column {:?} tells the rows apart and names no coin: it is left out",
                    head.header[*column]
                ));
            }
            !counts
        });
        [id, name].into_iter().flatten().try_for_each(|column| refuse_foreign_pairs(head, column))?;
        if id.or(name).or(symbol).is_none() {
            return Err(format!("it has {NO_COIN}"));
        }
        let (pairs, given) = (pairs == Pairs::Dollars, GivenCoin::default());
        Ok(Self { id, name, symbol, pairs, given, alike: Vec::new() })
    }

    /// Id, name and symbol of a row, from the trimmed texts of its cells. Of a pair the symbol is that of the coin.
    pub(super) fn texts<'c>(&'c self, cell: impl Fn(usize) -> &'c str) -> [&'c str; 3] {
        let present = |text: &'c str| if is_no_text(text) { "" } else { text };
        let text = |given: &'c Option<String>, column: Option<usize>| {
            given.as_deref().unwrap_or_else(|| column.map_or("", |column| present(cell(column))))
        };
        let given = &self.given;
        let symbol = text(&given.symbol, self.symbol);
        let symbol = if self.pairs { in_dollars(symbol).unwrap_or(symbol) } else { symbol };
        [text(&given.id, self.id), text(&given.name, self.name), symbol]
    }

    /// The id of the coin, from the trimmed texts of the cells: the id as sent, else `symbol-name`, else what
    /// there is of the two. Empty when the cells are.
    pub(super) fn crypto_id<'c>(&self, id: &'c str, name: &str, symbol: &str) -> Cow<'c, str> {
        if self.id.is_some() || self.given.id.is_some() {
            return Cow::Borrowed(id);
        }
        let mut made = String::with_capacity(symbol.len() + name.len() + 1);
        for word in symbol.split_whitespace().chain(name.split_whitespace()) {
            if !made.is_empty() {
                made.push('-');
            }
            if word.is_ascii() {
                made.push_str(word);
            } else {
                made.push_str(&word.to_lowercase());
            }
        }
        made.make_ascii_lowercase();
        Cow::Owned(made)
    }

    /// Whether a column is part of the key of its rows.
    pub(super) fn uses(&self, column: usize) -> bool {
        let made = [self.name, self.symbol];
        if self.alike.iter().any(|(alike, _)| *alike == column) {
            true
        } else if self.id.is_some() {
            self.id == Some(column)
        } else {
            made.contains(&Some(column))
        }
    }
}

/// CoinMarketCap's histories have the number of a currency where the name of the coin would be.
pub(super) fn only_numbers(head: &Head, column: usize) -> bool {
    let mut cells = head.cells(column).filter(|cell| !cell.is_empty()).peekable();
    cells.peek().is_some() && cells.all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What a column says in every row, if anything. All rows would become the one coin that is declared, so it is refused if
/// they differ.
fn the_one(head: &Head, column: usize) -> Result<Option<(usize, String)>, String> {
    let mut cells = head.cells(column).filter(|cell| !cell.is_empty());
    let Some(first) = cells.next() else { return Ok(None) };
    match cells.find(|cell| !cell.eq_ignore_ascii_case(first)) {
        None => Ok(Some((column, first.to_owned()))),
        Some(other) => {
            let name = &head.header[column];
            Err(format!(
                "the CSV map declares that it is about one coin, but the column {name:?} holds {first:?} and {other:?}; if that is \
                 not a coin, leave the column out: [file.columns] name = \"\" (or id, symbol)"
            ))
        }
    }
}

/// Whether an "id" in a file about one coin is a number for each row.
fn counts_rows(head: &Head, column: usize) -> bool {
    let distinct: HashSet<&str> = head.cells(column).collect();
    distinct.len() == head.rows.len() && only_numbers(head, column)
}

/// Whether an "id" only tells rows apart: it counts them, or is another for each, while the coins repeat.
fn is_row_number(head: &Head, column: usize, coin: Option<usize>) -> bool {
    let Some(coin) = coin else { return false };
    let rows = head.rows.len();
    let distinct = |column: usize| head.cells(column).collect::<HashSet<_>>().len();
    rows > 2 && distinct(column) == rows && distinct(coin) * 2 <= rows
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sources::csv::map::Declared;

    /// What a file with this beginning has of coins.
    pub(in crate::sources::csv) fn columns(text: &str) -> Result<CoinColumns, String> {
        let head = Head::read(text.as_bytes(), true, &Declared::default()).unwrap();
        CoinColumns::of(&head, &GivenCoin::default(), &mut Vec::new())
    }

    #[test]
    fn an_id_is_kept_or_made() {
        let with_id = columns("id,name,price\na,A,1\n").unwrap();
        assert_eq!(with_id.crypto_id("Bit Coin", "x", "y"), "Bit Coin");
        let made = columns("name,symbol,price\nA,a,1\n").unwrap();
        assert_eq!(made.crypto_id("", "Bitcoin", "BTC"), "btc-bitcoin");
        assert_eq!(made.crypto_id("", "USD  Coin", "USDC"), "usdc-usd-coin");
        assert_eq!(made.crypto_id("", "Ünique", ""), "ünique");
        assert_eq!(made.crypto_id("", "", "BTC"), "btc");
        assert_eq!(made.crypto_id("", "", ""), "");
    }

    #[test]
    fn a_counter_is_no_id() {
        let history = "id,name,price\n1,Bitcoin,1\n2,Bitcoin,2\n3,Bitcoin,3\n4,Bitcoin,4\n";
        assert_eq!(columns(history).unwrap().id, None);
        for ids in
            [["101", "104", "107", "109"], ["4", "3", "2", "1"], ["507f1f", "507f2f", "507f3f", "507f4f"]]
        {
            let rows: String = ids.iter().map(|id| format!("{id},Bitcoin,1\n")).collect();
            assert_eq!(columns(&format!("id,name,price\n{rows}")).unwrap().id, None, "{ids:?}");
        }
        let listing = "id,name,price\n1,Bitcoin,1\n2,Ethereum,2\n3,Tether,3\n4,XRP,4\n";
        assert_eq!(columns(listing).unwrap().id, Some(0));
    }

    #[test]
    fn a_number_is_no_name() {
        let history =
            "timeOpen;name;close;timestamp\n2024-01-01;2781;1;2024-01-01\n2024-01-02;2781;2;2024-01-02\n";
        assert!(columns(history).unwrap_err().contains("[file.coin]"));
        assert_eq!(columns("name,symbol,price\n1337,ELITE,1\n").unwrap().name, None);
        assert_eq!(columns("name,price\n1337,1\nBitcoin,2\n").unwrap().name, Some(0));
    }

    #[test]
    fn of_pairs_with_dollars_the_coin_is_taken() {
        for pairs in [
            "Ticker,Close\nBTC-USD,1\nETH-USD,2\n",
            "symbol,price\nBTC/USD,1\n",
            "date,symbol,open,high,low,close\n2022-03-01,BTC/USD,1,1,1,1\n",
        ] {
            let coin = columns(pairs).unwrap();
            assert!(coin.pairs, "{pairs}");
            assert_eq!(coin.texts(|_| "BTC-USD"), ["", "", "BTC"]);
        }
    }

    #[test]
    fn one_coin_is_not_declared_for_several() {
        let given = GivenCoin { id: Some("bitcoin".to_owned()), ..GivenCoin::default() };
        let of = |text: &str| {
            let mut declared = Declared::default();
            declared.coin = given.clone();
            let head = Head::read(text.as_bytes(), true, &declared).unwrap();
            CoinColumns::of(&head, &given, &mut Vec::new())
        };
        assert!(of("date,symbol,close\n2020-01-01,BTC,1\n2020-01-02,btc,1\n").is_ok());
        let refusal = of("date,Ticker,close\n2020-01-01,BTC-USD,1\n2020-01-01,ETH-USD,1\n").unwrap_err();
        assert!(refusal.contains("\"BTC-USD\" and \"ETH-USD\""), "{refusal}");
        let refusal = of("id,date,close\nbitcoin,2020-01-01,1\nethereum,2020-01-01,2\n").unwrap_err();
        assert!(refusal.contains("\"id\" holds \"bitcoin\" and \"ethereum\""), "{refusal}");
        assert!(of("id,date,close\n7,2020-01-01,1\n8,2020-01-02,2\n").unwrap().alike.is_empty());
        let one = of("slug,date,close\nbitcoin,2020-01-01,1\nbitcoin,2020-01-02,2\n").unwrap();
        assert_eq!(one.alike, [(0, "bitcoin".to_owned())]);
    }

    #[test]
    fn what_says_that_there_is_no_text_is_none() {
        let coin = columns("name,symbol,price\nA,a,1\n").unwrap();
        assert_eq!(coin.texts(|column| ["NaN", "BTC"][column]), ["", "", "BTC"]);
        assert_eq!(coin.texts(|column| ["N/A", "-"][column]), ["", "", ""]);
        assert_eq!(coin.texts(|column| ["None", "NA"][column]), ["", "None", "NA"]);
    }
}
