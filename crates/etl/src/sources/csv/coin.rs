//! Which coin a row is about.

use std::borrow::Cow;
use std::collections::HashSet;

use super::columns::Role;
use super::head::Head;
use super::map::GivenCoin;

/// What says which coin a row is about: columns, or what is declared for all rows; at least one is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoinColumns {
    pub(super) id: Option<usize>,
    pub(super) name: Option<usize>,
    pub(super) symbol: Option<usize>,
    pub(super) given: GivenCoin,
}

/// Said of a file that does not tell which coin its rows are about, with the way out.
pub(super) const NO_COIN: &str = "no column that says which coin a row is about (such as id, name or symbol); if all of it is \
     about one coin, declare it in a CSV map (CSV_MAP): [file.coin] id = \"bitcoin\"";

impl CoinColumns {
    /// Chooses them by name and by what they hold.
    ///
    /// # Errors
    /// A sentence when the prices are not in dollars, or when no column is left.
    pub(super) fn of(head: &Head, given: &GivenCoin, warnings: &mut Vec<String>) -> Result<Self, String> {
        let dollars = currency_columns(head)?;
        let mut names = head.columns.of_role(Role::Name).filter(|column| !dollars.contains(column));
        let name = names.find(|column| !only_numbers(head, *column));
        let symbol = head.columns.of_role(Role::Symbol).next();
        if given.is_some() {
            // Only what is not given is taken from columns, and no id: the file is about this coin.
            let name = name.filter(|_| given.name.is_none());
            let symbol =
                symbol.filter(|column| given.symbol.is_none() && refuse_pairs(head, *column).is_ok());
            return Ok(Self { id: None, name, symbol, given: given.clone() });
        }
        if let Some(symbol) = symbol {
            refuse_pairs(head, symbol)?;
        }
        let id = head.columns.of_role(Role::Id).find(|column| {
            let counts = is_row_number(head, *column, name.or(symbol));
            if counts {
                warnings.push(format!(
                    "the column {:?} counts the rows and names no coin: it is left out",
                    head.header[*column]
                ));
            }
            !counts
        });
        if id.or(name).or(symbol).is_none() {
            return Err(format!("it has {NO_COIN}"));
        }
        Ok(Self { id, name, symbol, given: GivenCoin::default() })
    }

    /// Id, name and symbol of a row, from the trimmed texts of its cells.
    pub(super) fn texts<'c>(&'c self, cell: impl Fn(usize) -> &'c str) -> [&'c str; 3] {
        let text = |given: &'c Option<String>, column: Option<usize>| {
            given.as_deref().unwrap_or_else(|| column.map_or("", &cell))
        };
        let given = &self.given;
        [text(&given.id, self.id), text(&given.name, self.name), text(&given.symbol, self.symbol)]
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
        if self.id.is_some() { self.id == Some(column) } else { made.contains(&Some(column)) }
    }
}

/// CoinMarketCap's histories have the number of a currency where the name of the coin would be.
fn only_numbers(head: &Head, column: usize) -> bool {
    let mut cells = head.cells(column).filter(|cell| !cell.is_empty()).peekable();
    cells.peek().is_some() && cells.all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Columns that only repeat that prices are in dollars.
fn currency_columns(head: &Head) -> Result<Vec<usize>, String> {
    const DOLLARS: [&str; 4] = ["USD", "US$", "$", "US DOLLAR"];
    const OTHERS: [&str; 20] = [
        "EUR", "GBP", "JPY", "INR", "CNY", "KRW", "AUD", "CAD", "CHF", "BRL", "RUB", "TRY", "IDR", "MXN",
        "MYR", "PLN", "SGD", "THB", "VND", "ZAR",
    ];
    let mut dollars = Vec::new();
    for column in head.columns.of_role(Role::Currency) {
        let mut cells = head.cells(column).filter(|cell| !cell.is_empty()).map(str::to_uppercase);
        let may_be_name = head.columns.of_role(Role::Name).any(|name| name == column);
        let foreign = |cell: &String| {
            !DOLLARS.contains(&cell.as_str()) && (!may_be_name || OTHERS.contains(&cell.as_str()))
        };
        if let Some(other) = cells.clone().find(foreign) {
            return Err(format!(
                "the column {:?} says that prices are in {other:?}; they must be in US dollars",
                head.header[column]
            ));
        }
        if cells.all(|cell| DOLLARS.contains(&cell.as_str())) {
            dollars.push(column);
        }
    }
    Ok(dollars)
}

/// The candles of exchanges give prices of pairs such as BTC/EUR.
fn refuse_pairs(head: &Head, symbol: usize) -> Result<(), String> {
    const QUOTES: [&str; 14] =
        ["USD", "USDT", "USDC", "BUSD", "EUR", "GBP", "JPY", "KRW", "INR", "TRY", "BTC", "XBT", "ETH", "BNB"];
    let is_pair = |cell: &str| {
        let quote = cell.rsplit_once(['/', '-']).map(|(_, quote)| quote.to_uppercase());
        quote.is_some_and(|quote| QUOTES.contains(&quote.as_str()))
    };
    let mut cells = head.cells(symbol).filter(|cell| !cell.is_empty()).peekable();
    match cells.peek().copied() {
        Some(first) if cells.all(is_pair) => Err(format!(
            "the column {:?} holds trading pairs such as {first:?}, not coins; give each coin's price in US dollars, or declare the \
             coin in a CSV map (CSV_MAP) if all of them are in dollars: [file.coin] id = \"bitcoin\"",
            head.header[symbol]
        )),
        _ => Ok(()),
    }
}

/// Whether an "id" only counts rows: it grows by one from row to row while the coins repeat.
fn is_row_number(head: &Head, column: usize, coin: Option<usize>) -> bool {
    let Some(coin) = coin else { return false };
    let numbers: Option<Vec<u64>> = head.cells(column).map(|cell| cell.parse().ok()).collect();
    let counts = numbers.is_some_and(|numbers| {
        numbers.len() > 2
            && numbers[0] < 2
            && numbers.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]))
    });
    counts && head.cells(coin).collect::<HashSet<_>>().len() * 2 <= head.rows.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::csv::map::Declared;

    fn columns(text: &str) -> Result<CoinColumns, String> {
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
    fn other_currencies_are_refused() {
        assert!(columns("date,currency,name,close\n2020-01-01,EUR,Bitcoin,1\n").unwrap_err().contains("EUR"));
        assert!(columns("id,vs_currency,price\na,btc,1\n").unwrap_err().contains("BTC"));
        assert_eq!(columns("currency,name,close\nUSD,Bitcoin,1\n").unwrap().name, Some(1));
        assert_eq!(columns("currency,price\nBitcoin,1\n").unwrap().name, Some(0));
        assert!(columns("date,close,currency\n2020-01-01,1,USD\n").unwrap_err().contains("which coin"));
    }

    #[test]
    fn trading_pairs_are_refused() {
        assert!(columns("date,symbol,close\n2020-01-01,BTC/EUR,1\n").unwrap_err().contains("BTC/EUR"));
        assert!(columns("date,symbol,close\n2020-01-01,BTC-USD,1\n").unwrap_err().contains("pairs"));
        assert!(columns("date,symbol,close\n2020-01-01,BTC,1\n").is_ok());
    }
}
