//! Which coin a row is about.

use std::borrow::Cow;
use std::collections::HashSet;

use super::columns::{Role, are_candles};
use super::head::{Head, Row};
use super::map::GivenCoin;
use super::number::is_no_text;

/// What says which coin a row is about: columns, or what is declared for all rows; at least one is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoinColumns {
    pub(super) id: Option<usize>,
    pub(super) name: Option<usize>,
    pub(super) symbol: Option<usize>,
    /// The symbols are pairs such as `BTC-USD`, all of them with dollars.
    pub(super) pairs: bool,
    pub(super) given: GivenCoin,
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
            [name, symbol].into_iter().flatten().try_for_each(|column| refuse_several(head, column))?;
            // Only what is not given is taken from columns, and no id: the file is about this coin.
            let name = name.filter(|_| given.name.is_none());
            let symbol =
                symbol.filter(|column| given.symbol.is_none() && Pairs::of(head, *column) == Pairs::None);
            return Ok(Self { id: None, name, symbol, pairs: false, given: given.clone() });
        }
        let pairs = symbol.map_or(Pairs::None, |column| Pairs::of(head, column));
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
        Ok(Self { id, name, symbol, pairs: pairs == Pairs::Dollars, given: GivenCoin::default() })
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
    let is_dollar = |cell: &str| DOLLARS.iter().any(|dollar| dollar.eq_ignore_ascii_case(cell));
    let mut dollars = Vec::new();
    for column in head.columns.of_role(Role::Currency) {
        let mut cells = head.cells(column).filter(|cell| !cell.is_empty());
        let mut foreign = head.rows.iter().filter(|row| {
            let cell = row.cell(column);
            !cell.is_empty() && !is_dollar(cell) && is_currency(head, column, row)
        });
        if let Some(row) = foreign.next() {
            return Err(format!(
                "the column {:?} says that prices are in {:?}; they must be in US dollars",
                head.header[column],
                row.cell(column)
            ));
        }
        if cells.all(is_dollar) {
            dollars.push(column);
        }
    }
    Ok(dollars)
}

/// Whether a column that may hold currencies does in this row: it may be that of the coins as well.
fn is_currency(head: &Head, column: usize, row: &Row) -> bool {
    const FIAT: [&str; 20] = [
        "EUR", "GBP", "JPY", "INR", "CNY", "KRW", "AUD", "CAD", "CHF", "BRL", "RUB", "TRY", "IDR", "MXN",
        "MYR", "PLN", "SGD", "THB", "VND", "ZAR",
    ];
    let is_among = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(row.cell(column)));
    let is_name = head.columns.of_role(Role::Name).any(|name| name == column);
    // Beside another column of coins it is hardly one itself, unless it says the same.
    let others = [Role::Id, Role::Name, Role::Symbol].map(|role| head.columns.of_role(role));
    let mut others = others.into_iter().flatten().filter(|other| *other != column).peekable();
    let is_quote = others.peek().is_some()
        && is_among(&QUOTES)
        && others.all(|other| !row.cell(other).eq_ignore_ascii_case(row.cell(column)));
    !is_name || is_among(&FIAT) || is_quote
}

/// In what exchanges quote prices.
const QUOTES: [&str; 17] = [
    "USD", "USDT", "USDC", "BUSD", "FDUSD", "DAI", "EUR", "GBP", "JPY", "KRW", "INR", "TRY", "BTC", "XBT",
    "ETH", "BNB", "AUD",
];

const SEPARATORS: [char; 3] = ['/', '-', '_'];

/// The coin of a pair with dollars: `BTC` of `BTC-USD`.
pub(super) fn in_dollars(pair: &str) -> Option<&str> {
    let (coin, quote) = pair.rsplit_once(SEPARATORS)?;
    (quote.eq_ignore_ascii_case("USD") && !coin.is_empty()).then_some(coin)
}

/// What the symbols of a file are: candles of exchanges are about pairs such as BTC/EUR.
#[derive(Debug, PartialEq, Eq)]
enum Pairs {
    /// Coins.
    None,
    /// Pairs with dollars, all of them.
    Dollars,
    /// Pairs of which this one is not with dollars, or not for certain.
    Others(String),
}

impl Pairs {
    fn of(head: &Head, symbol: usize) -> Self {
        let cells: Vec<&str> = head.cells(symbol).filter(|cell| !cell.is_empty()).collect();
        let Some(first) = cells.first() else { return Self::None };
        if are_candles(&head.header) && cells.iter().all(|cell| is_joined_pair(cell)) {
            return Self::Others((*first).to_owned());
        }
        if cells.iter().filter(|cell| is_pair(cell)).count() * 2 < cells.len() {
            return Self::None;
        }
        let other = cells.iter().find(|cell| in_dollars(cell).is_none());
        other.map_or(Self::Dollars, |other| Self::Others((*other).to_owned()))
    }
}

fn is_quote(text: &str) -> bool {
    QUOTES.iter().any(|quote| quote.eq_ignore_ascii_case(text))
}

fn is_pair(cell: &str) -> bool {
    cell.rsplit_once(SEPARATORS).is_some_and(|(coin, quote)| !coin.is_empty() && is_quote(quote))
}

/// `BTCUSDT`, which a symbol may look like as well: `FDUSD`.
fn is_joined_pair(cell: &str) -> bool {
    let ends = |quote: &&str| cell.len() > quote.len() + 1 && cell.to_uppercase().ends_with(*quote);
    QUOTES.iter().any(ends)
}

fn refused_pairs(column: &str, pair: &str) -> String {
    format!(
        "the column {column:?} holds trading pairs such as {pair:?}, not coins; give each coin's price in US dollars, or declare the \
         coin in a CSV map (CSV_MAP) if all of the file is about one coin in dollars: [[file]] path = \"the name of this file\", \
         [file.coin] id = \"bitcoin\""
    )
}

/// Ids and names are hardly ever pairs, and may look like them: only what is in capital letters is taken for one.
fn refuse_foreign_pairs(head: &Head, column: usize) -> Result<(), String> {
    let is_foreign = |cell: &str| {
        is_pair(cell) && in_dollars(cell).is_none() && !cell.contains(|c: char| c.is_lowercase())
    };
    let cells: Vec<&str> = head.cells(column).filter(|cell| !cell.is_empty()).collect();
    match cells.iter().find(|cell| is_foreign(cell)) {
        Some(pair) if cells.iter().filter(|cell| is_foreign(cell)).count() * 2 >= cells.len() => {
            Err(refused_pairs(&head.header[column], pair))
        }
        _ => Ok(()),
    }
}

/// All rows would become the one coin that is declared.
fn refuse_several(head: &Head, column: usize) -> Result<(), String> {
    let mut cells = head.cells(column).filter(|cell| !cell.is_empty());
    let Some(first) = cells.next() else { return Ok(()) };
    match cells.find(|cell| !cell.eq_ignore_ascii_case(first)) {
        None => Ok(()),
        Some(other) => {
            let name = &head.header[column];
            Err(format!(
                "the CSV map declares that it is about one coin, but the column {name:?} holds {first:?} and {other:?}; if that is \
                 not a coin, leave the column out: [file.columns] name = \"\" (or symbol)"
            ))
        }
    }
}

/// Whether an "id" only tells rows apart: it counts them, or is another for each, while the coins repeat.
fn is_row_number(head: &Head, column: usize, coin: Option<usize>) -> bool {
    let Some(coin) = coin else { return false };
    let rows = head.rows.len();
    let distinct = |column: usize| head.cells(column).collect::<HashSet<_>>().len();
    rows > 2 && distinct(column) == rows && distinct(coin) * 2 <= rows
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
    fn other_currencies_are_refused() {
        assert!(columns("date,currency,name,close\n2020-01-01,EUR,Bitcoin,1\n").unwrap_err().contains("EUR"));
        assert!(columns("id,vs_currency,price\na,btc,1\n").unwrap_err().contains("btc"));
        assert!(columns("date,symbol,currency,close\n2020-01-01,ETH,BTC,1\n").unwrap_err().contains("BTC"));
        assert!(columns("symbol,base_asset,quote_asset,close\nETH,ETH,BTC,1\n").unwrap_err().contains("BTC"));
        assert_eq!(columns("symbol,currency,price\nBTC,BTC,1\nETH,Ethereum,1\n").unwrap().name, Some(1));
        assert_eq!(columns("currency,name,close\nUSD,Bitcoin,1\n").unwrap().name, Some(1));
        assert_eq!(columns("currency,price\nBitcoin,1\n").unwrap().name, Some(0));
        assert!(columns("date,close,currency\n2020-01-01,1,USD\n").unwrap_err().contains("which coin"));
    }

    #[test]
    fn trading_pairs_are_refused() {
        assert!(columns("date,symbol,close\n2020-01-01,BTC/EUR,1\n").unwrap_err().contains("BTC/EUR"));
        assert!(columns("date,symbol,close\n2020-01-01,BTC,1\n").is_ok());
        for refused in [
            "symbol,close\nBTC/EUR,1\nETH,2\n",
            "symbol,close\nBTC-USD,1\nETH-EUR,2\n",
            "symbol,close\nBTC_USDT,1\n",
            "symbol,open,high,low,close\nBTCUSD,1,1,1,1\nETHBTC,1,1,1,1\n",
            "name,close\nETH-EUR,1\n",
            "id,price\nBTC-EUR,1\n",
        ] {
            assert!(columns(refused).unwrap_err().contains("pairs"), "{refused}");
        }
        for coins in ["symbol,close\nFDUSD,1\n", "id,price\nbtc-bitcoin,1\n", "id,price\nhuobi-btc,1\n"] {
            assert!(columns(coins).is_ok(), "{coins}");
        }
    }

    #[test]
    fn of_pairs_with_dollars_the_coin_is_taken() {
        for pairs in ["Ticker,Close\nBTC-USD,1\nETH-USD,2\n", "symbol,price\nBTC/USD,1\n"] {
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
    }

    #[test]
    fn what_says_that_there_is_no_text_is_none() {
        let coin = columns("name,symbol,price\nA,a,1\n").unwrap();
        assert_eq!(coin.texts(|column| ["NaN", "BTC"][column]), ["", "", "BTC"]);
        assert_eq!(coin.texts(|column| ["N/A", "-"][column]), ["", "", ""]);
        assert_eq!(coin.texts(|column| ["None", "NA"][column]), ["", "None", "NA"]);
    }
}
