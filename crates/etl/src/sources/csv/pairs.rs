//! What prices are in: dollars, or what exchanges quote them in.

use super::coin::only_numbers;
use super::columns::{Role, are_candles, says_pair};
use super::head::{Head, Row};

/// Columns that only repeat that prices are in dollars.
pub(super) fn currency_columns(head: &Head) -> Result<Vec<usize>, String> {
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
    // Beside another column of coins it is hardly one itself, unless it says the same or has names that nobody quotes in.
    let others = || {
        let of_coins = [Role::Id, Role::Name, Role::Symbol].map(|role| head.columns.of_role(role));
        of_coins.into_iter().flatten().filter(|other| *other != column)
    };
    let says_the_same = |other: usize| row.cell(other).eq_ignore_ascii_case(row.cell(column));
    let is_quote = head.cells(column).all(|cell| cell.is_empty() || is_quote(cell))
        && others().any(|other| !only_numbers(head, other))
        && !others().any(says_the_same);
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
pub(super) enum Pairs {
    /// Coins.
    None,
    /// Pairs with dollars, all of them.
    Dollars,
    /// Pairs of which this one is not with dollars, or not for certain.
    Others(String),
}

impl Pairs {
    /// By the cells of the column of symbols. Exchanges do not name the coins: beside a name `STETH` is no pair.
    pub(super) fn of(head: &Head, symbol: usize, name: Option<usize>) -> Self {
        let cells: Vec<&str> = head.cells(symbol).filter(|cell| !cell.is_empty()).collect();
        let Some(first) = cells.first() else { return Self::None };
        if name.is_none() && are_candles(&head.header) && cells.iter().all(|cell| is_joined_pair(cell)) {
            return Self::Others((*first).to_owned());
        }
        let is_alone = name.is_none() && head.columns.of_role(Role::Id).next().is_none();
        if is_alone && are_joined_pairs(&cells) {
            return Self::Others((*first).to_owned());
        }
        let pairs = cells.iter().filter(|cell| is_pair(cell)).count();
        if pairs * 2 < cells.len() && !says_pair(&head.header[symbol]) {
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
    !cell.contains(SEPARATORS) && QUOTES.iter().any(ends)
}

/// Whether a list is one of pairs, of whatever an exchange trades: nearly all are joined of two, and what others are quoted in
/// is traded itself (`BTCUSDT`, `ETHBTC`), which no list of coins shows by chance.
fn are_joined_pairs(cells: &[&str]) -> bool {
    let joined = cells.iter().filter(|cell| is_joined_pair(cell)).count();
    let is_of_quotes = |cell: &&str| {
        (1..cell.len()).any(|at| cell.is_char_boundary(at) && is_quote(&cell[..at]) && is_quote(&cell[at..]))
    };
    cells.len() > 2 && joined * 10 >= cells.len() * 9 && cells.iter().any(is_of_quotes)
}

/// Whether exchanges wrote the pairs: theirs have a stroke, those of Yahoo, whose volumes are in dollars, a hyphen.
pub(super) fn has_stroke(pair: &str) -> bool {
    pair.contains('/')
}

pub(super) fn refused_pairs(column: &str, pair: &str) -> String {
    format!(
        "the column {column:?} holds trading pairs such as {pair:?}, not coins; give each coin's price in US dollars, or declare the \
         coin in a CSV map (CSV_MAP) if all of the file is about one coin in dollars: [[file]] path = \"the name of this file\", \
         [file.coin] id = \"bitcoin\""
    )
}

/// Ids and names are hardly ever pairs, and may look like them: only what is in capital letters is taken for one.
pub(super) fn refuse_foreign_pairs(head: &Head, column: usize) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use crate::sources::csv::coin::tests::columns;

    #[test]
    fn other_currencies_are_refused() {
        assert!(columns("date,currency,name,close\n2020-01-01,EUR,Bitcoin,1\n").unwrap_err().contains("EUR"));
        assert!(columns("id,vs_currency,price\na,btc,1\n").unwrap_err().contains("btc"));
        assert!(columns("date,symbol,currency,close\n2020-01-01,ETH,BTC,1\n").unwrap_err().contains("BTC"));
        assert!(columns("time,close,fsym,tsym\n1,2,ETH,BTC\n").unwrap_err().contains("BTC"));
        assert!(columns("time,close,fsym,tsym\n1,2,ETH,USD\n").is_ok());
        assert!(columns("symbol,base_asset,quote_asset,close\nETH,ETH,BTC,1\n").unwrap_err().contains("BTC"));
        assert_eq!(columns("id,currency,price\n1,BTC,1\n2,ETH,1\n").unwrap().name, Some(1));
        assert_eq!(columns("rank,slug,currency,price\n1,a,BTC,1\n2,b,XRP,1\n").unwrap().name, Some(2));
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
            "pair,price\nBTCUSDT,1\n",
            "id,price\nBTC-EUR,1\n",
            "symbol,price\nETHBTC,1\nLTCBTC,1\nBTCUSDT,1\nETHUSDT,1\nBTCTRY,1\n",
        ] {
            assert!(columns(refused).unwrap_err().contains("pairs"), "{refused}");
        }
        let named = "name,symbol,open,high,low,close\nLido Staked Ether,STETH,1,1,1,1\n";
        for coins in [
            named,
            "symbol,close\nFDUSD,1\nSTETH,2\nCBETH,1\nEZETH,3\n",
            "id,price\nbtc-bitcoin,1\n",
            "id,price\nhuobi-btc,1\n",
        ] {
            assert!(columns(coins).is_ok(), "{coins}");
        }
    }
}
