//! Which coins are one: the hard cases, through the program, the tables and the listings.

use diesel::connection::SimpleConnection;
use kasparro_testkit::simulator::{Fault, Response, Route, Universe};
use serde_json::{Value, json};

use crate::support::{World, number, texts};

const TIME: &str = "2026-01-15T12:00:00Z";

fn ticker(time: &str, (id, symbol, name, price): (&str, &str, &str, f64)) -> Value {
    json!({ "id": id, "symbol": symbol, "name": name, "rank": 1, "total_supply": 1, "max_supply": 0, "last_updated": time,
            "quotes": { "USD": { "price": price, "volume_24h": 1, "market_cap": 1, "percent_change_24h": 0 } } })
}

fn market(time: &str, (id, symbol, name, price): (&str, &str, &str, f64)) -> Value {
    json!({ "id": id, "symbol": symbol, "name": name, "current_price": price, "market_cap": 1, "market_cap_rank": 1,
            "total_volume": 1, "price_change_percentage_24h": 0, "circulating_supply": 1, "total_supply": 1,
            "max_supply": null, "last_updated": time })
}

pub(crate) type Row<'a> = (&'a str, &'a str, &'a str, f64);

/// Both vendors with these coins.
pub(crate) struct Case {
    pub(crate) world: World,
}

impl Case {
    pub(crate) fn new(coinpaprika: &[Row<'_>], coingecko: &[Row<'_>]) -> Self {
        let case = Self { world: World::with(Universe::new(1).coins(1)) };
        case.serve(coinpaprika, coingecko);
        case
    }

    pub(crate) fn serve(&self, coinpaprika: &[Row<'_>], coingecko: &[Row<'_>]) {
        self.serve_at(TIME, coinpaprika, coingecko);
    }

    /// Both vendors with these coins, as they are at this time.
    pub(crate) fn serve_at(&self, time: &str, coinpaprika: &[Row<'_>], coingecko: &[Row<'_>]) {
        let simulator = &self.world.simulator;
        let tickers: Vec<Value> = coinpaprika.iter().map(|row| ticker(time, *row)).collect();
        simulator.serve_body(Route::CoinpaprikaTickers, json!(tickers).to_string());
        let markets: Vec<Value> = coingecko.iter().map(|row| market(time, *row)).collect();
        simulator.serve_body(Route::CoingeckoMarkets, json!(markets).to_string());
    }

    /// Addresses on Ethereum: ids of CoinPaprika and CoinGecko.
    pub(crate) fn list(&self, coinpaprika: &[(&str, &str)], coingecko: &[(&str, &str)]) {
        let simulator = &self.world.simulator;
        let coins = coinpaprika.iter().map(|(id, _)| json!({ "id": id, "is_active": true }));
        simulator.serve_body(Route::CoinpaprikaCoins, json!(coins.collect::<Vec<_>>()).to_string());
        simulator.serve_body(Route::CoinpaprikaPlatforms, "[\"eth-ethereum\"]");
        let contracts =
            coinpaprika.iter().map(|(id, address)| json!({ "id": id, "address": address, "type": "ERC20" }));
        simulator.serve_body(Route::CoinpaprikaContracts, json!(contracts.collect::<Vec<_>>()).to_string());
        let entries = coingecko
            .iter()
            .map(|(id, address)| json!({ "id": id, "symbol": "x", "name": "X", "platforms": { "ethereum": address } }));
        simulator.serve_body(Route::CoingeckoList, json!(entries.collect::<Vec<_>>()).to_string());
    }

    pub(crate) fn load(&self) {
        self.load_with(&[]);
    }

    pub(crate) fn load_with(&self, variables: &[(&str, &str)]) {
        let program = self.world.etl().arguments(["run", "--sources", "coinpaprika,coingecko"]);
        let output =
            variables.iter().fold(program, |program, (name, value)| program.variable(name, value)).run();
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    }

    fn resolve(&self, arguments: &[&str]) -> String {
        let output = self.world.etl().arguments(["resolve"]).arguments(arguments).run();
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        output.stdout
    }

    /// The assets with several members, as `id+id method`.
    pub(crate) fn linked(&self) -> Vec<String> {
        texts(
            &mut self.world.database.connect(),
            "select string_agg(c.crypto_id, '+' order by c.crypto_id) || ' ' || max(nullif(l.method, 'own')) \
               from asset_links l join coins c using (coin_id) where l.ended_at is null group by asset_id having count(*) > 1 order by 1",
        )
    }

    pub(crate) fn states(&self) -> Vec<String> {
        texts(
            &mut self.world.database.connect(),
            "select c.crypto_id || ' ' || s.state from coin_states s join coins c using (coin_id) where s.until is null order by 1",
        )
    }
}

#[test]
fn one_symbol_and_many_coins_stay_many() {
    let pepes: Vec<(String, String)> =
        (0..22).map(|n| (format!("pepe{n}-pepe"), format!("Pepe {n}x"))).collect();
    let mut rows: Vec<Row<'_>> =
        pepes.iter().map(|(id, name)| (id.as_str(), "PEPE", name.as_str(), 1.0)).collect();
    rows.push(("weth-weth", "WETH", "WETH", 3000.0));
    let bridged: Vec<String> = (0..5).map(|n| format!("weth-bridged-{n}")).collect();
    let mut others: Vec<Row<'_>> =
        bridged.iter().map(|id| (id.as_str(), "weth", "Bridged WETH", 3000.0)).collect();
    others.push(("pepe", "pepe", "Pepe", 1.0));
    let case = Case::new(&rows, &others);
    case.load();
    assert_eq!(case.linked(), [] as [&str; 0]);
    let assets = number(&mut case.world.database.connect(), "select count(*) from assets");
    assert_eq!(assets, 22 + 1 + 5 + 1);
    assert!(case.resolve(&["--review"]).contains("symbol_only"));
}

#[test]
fn a_price_far_off_forbids_and_twins_are_left_alone() {
    let case = Case::new(
        &[
            ("abc-alpha-beta", "ABC", "Alpha Beta", 1.0),
            ("one-twin", "TWN", "Twin", 1.0),
            ("two-twin", "TWN", "Twin", 9.0),
        ],
        &[("alpha-beta", "abc", "Alpha Beta", 5.0), ("twin", "twn", "Twin", 1.0)],
    );
    case.load();
    assert_eq!(case.linked(), [] as [&str; 0]);
    let reasons = "select r.reason from asset_reviews r join coins c using (coin_id) order by c.crypto_id";
    let reasons = texts(&mut case.world.database.connect(), reasons);
    assert_eq!(reasons, ["price_disagrees", "ambiguous_name", "price_disagrees"]);
}

#[test]
fn contracts_link_what_names_do_not_and_never_native_coins() {
    let case = Case::new(
        &[
            ("pax-paxos-standard-token", "PAX", "Paxos Standard", 1.0),
            ("zed-zedchain", "ZED", "Zedchain", 0.4),
            ("qqq-quark", "QQQ", "Quarkchain", 1.0),
        ],
        &[
            ("paxos-standard", "usdp", "Pax Dollar", 1.0),
            ("binance-peg-zedchain", "zed", "Binance-Peg Zedchain", 0.4),
            ("zedchain", "zed", "Zedchain", 0.4),
            ("binance-quark", "bqqq", "Binance Quark", 1.0),
            ("quarkchain", "qqq", "Quarkchain", 1.0),
        ],
    );
    case.list(
        &[("pax-paxos-standard-token", "0xAA01"), ("zed-zedchain", "0xaa02"), ("qqq-quark", "0xaa03")],
        &[("paxos-standard", "0xaa01"), ("binance-peg-zedchain", "0xaa02"), ("binance-quark", "0xaa03")],
    );
    case.load_with(&[("LISTINGS_EVERY", "24h")]);
    assert_eq!(
        case.linked(),
        [
            "pax-paxos-standard-token+paxos-standard contract",
            "qqq-quark+quarkchain name",
            "zed-zedchain+zedchain name"
        ]
    );
    // Read once a day.
    case.world.simulator.clear_requests();
    case.load_with(&[("LISTINGS_EVERY", "24h")]);
    assert!(case.world.simulator.requests_to(Route::CoingeckoList).is_empty());
}

#[test]
fn a_contract_whose_prices_disagree_says_so() {
    let case = Case::new(
        &[("abc-alpha", "ABC", "Alpha", 1.0), ("bet-beta", "BET", "Beta", 5.0)],
        &[("alpha", "abc", "Alpha", 1000.0), ("beta", "bet", "Beta", 5.0)],
    );
    case.list(&[("abc-alpha", "0xa1"), ("bet-beta", "0xa2")], &[("alpha", "0xa1"), ("beta", "0xa2")]);
    case.load_with(&[("LISTINGS_EVERY", "24h")]);
    assert_eq!(case.linked(), ["abc-alpha+alpha contract", "bet-beta+beta contract"]);
    let agree = "select c.crypto_id || ' ' || (l.evidence->>'prices_agree') from asset_links l join coins c using (coin_id) \
                  where l.evidence ? 'prices_agree' order by 1";
    assert_eq!(texts(&mut case.world.database.connect(), agree), ["abc-alpha false", "bet-beta true"]);
}

#[test]
fn a_listing_that_fails_costs_the_prices_nothing() {
    let case = Case::new(&[("abc-alpha", "ABC", "Alpha", 1.0)], &[("alpha", "abc", "Alpha", 1.0)]);
    case.list(&[("abc-alpha", "0xaa01")], &[("alpha", "0xaa01")]);
    case.world.simulator.fault(Route::CoingeckoList, Fault::status(404)).always();
    case.world.simulator.serve(Route::CoinpaprikaPlatforms, Response::json("{\"error\":\"no\"}"));
    case.load_with(&[("LISTINGS_EVERY", "24h")]);
    assert_eq!(case.linked(), ["abc-alpha+alpha name"]);
    let connection = &mut case.world.database.connect();
    assert_eq!(number(connection, "select count(*) from coin_contracts"), 0);
    // One that fails for ever makes a call an hour at the most.
    let pauses = "select source || ' ' || round(extract(epoch from not_before - now()) / 3600) \
                    from etl_checkpoints where not_before is not null order by 1";
    assert_eq!(texts(connection, pauses), ["coingecko_list 1", "coinpaprika_contracts 2"]);
    connection.batch_execute("update etl_checkpoints set not_before = null").unwrap();
    case.load_with(&[("LISTINGS_EVERY", "1h")]);
    assert_eq!(texts(connection, pauses), ["coingecko_list 1", "coinpaprika_contracts 1"]);
}

#[test]
fn what_a_read_that_was_cut_short_does_not_have_is_not_missing() {
    let world = World::with(Universe::new(5).coins(600));
    world.run("coingecko");
    let states = || {
        let sql = "select state || ' ' || count(*) from coin_states where until is null group by state";
        texts(&mut world.database.connect(), sql)
    };
    assert_eq!(states(), ["active 600"]);
    for pages in ["1", "200"] {
        world.simulator.advance();
        world.simulator.fault(Route::CoingeckoMarkets, Fault::repeat_first_page()).always();
        let run = world
            .etl()
            .variable("COINGECKO_MAX_PAGES", pages)
            .arguments(["run", "--sources", "coingecko"])
            .run();
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(world.tally("coingecko").extracted, 250, "{pages}");
        assert_eq!(states(), ["active 600"], "{pages}");
    }
}

#[test]
fn a_renamed_coin_stays_and_an_id_that_vanishes_comes_back() {
    let case = Case::new(
        &[("abc-alpha", "ABC", "Alpha", 1.0), ("xyz-omega", "XYZ", "Omega", 1.0)],
        &[("alpha", "abc", "Alpha", 1.0)],
    );
    case.load();
    case.serve(&[("abc-alpha", "NEW", "Renamed", 1.1)], &[("alpha", "abc", "Alpha", 1.1)]);
    case.load();
    assert_eq!(case.linked(), ["abc-alpha+alpha name"]);
    assert_eq!(case.states(), ["abc-alpha active", "alpha active", "xyz-omega missing"]);
    case.serve(
        &[("abc-alpha", "NEW", "Renamed", 1.1), ("xyz-omega", "XYZ", "Omega", 1.0)],
        &[("alpha", "abc", "Alpha", 1.1)],
    );
    case.load();
    assert_eq!(case.states(), ["abc-alpha active", "alpha active", "xyz-omega active"]);
    assert_eq!(number(&mut case.world.database.connect(), "select count(*) from coin_states"), 5);
}

#[test]
fn a_wrong_declaration_is_corrected_and_a_link_undone() {
    let case = Case::new(
        &[("abc-alpha", "ABC", "Alpha", 1.0)],
        &[("alpha", "abc", "Alpha", 1.0), ("other", "oth", "Other", 1.0)],
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("links.csv");
    let declare = |line: &str| {
        std::fs::write(&file, format!("verdict,source,crypto_id,other_source,other_id,note\n{line}\n"))
            .unwrap();
        case.load_with(&[("ASSET_LINKS_PATH", file.to_str().unwrap())]);
    };
    declare("same,coinpaprika,abc-alpha,coingecko,other,wrong");
    assert_eq!(case.linked(), ["abc-alpha+other declared"]);
    declare("never,coinpaprika,abc-alpha,coingecko,other,right");
    assert_eq!(case.linked(), ["abc-alpha+alpha name"]);
    assert!(case.resolve(&["--undo", "abc-alpha"]).contains("taken apart"));
    assert_eq!(case.linked(), [] as [&str; 0]);
    assert!(case.resolve(&["--explain", "coinpaprika:abc-alpha"]).contains("declared another"));
    case.resolve(&["--undo", "abc-alpha"]);
    assert_eq!(case.linked(), ["abc-alpha+alpha name"]);
    let alone = case.world.etl().arguments(["resolve", "--undo", "other"]).run();
    assert_eq!(alone.code, 64, "{}", alone.stderr);
    let dead = "select count(*) from asset_links where ended_at is not null";
    assert!(number(&mut case.world.database.connect(), dead) > 0, "ended links are kept");
}

#[test]
fn nothing_new_writes_nothing() {
    let world = World::with(Universe::new(7).coins(120));
    world.run("coinpaprika,coingecko");
    let version = "select batch_number from data_sources where name = 'assets'";
    let before = number(&mut world.database.connect(), version);
    let linked = "select count(*) from (select asset_id from asset_links where ended_at is null group by 1 having count(*) > 1) x";
    assert!(number(&mut world.database.connect(), linked) > 60);
    world.run("coinpaprika,coingecko");
    assert_eq!(number(&mut world.database.connect(), version), before);
}

#[test]
fn a_source_that_is_alone_is_decided_anew_when_its_coins_or_names_change_and_not_when_prices_do() {
    let case = Case::new(&[("a-a", "A", "A", 1.0)], &[]);
    let decided = |coins: &[Row<'_>]| {
        case.serve(coins, &[]);
        case.world.run("coinpaprika");
        let decisions = "select batch_number from data_sources where name = 'assets'";
        number(&mut case.world.database.connect(), decisions)
    };
    let first = decided(&[("a-a", "A", "A", 1.0)]);
    assert_eq!(decided(&[("a-a", "A", "A", 2.0)]), first, "a price");
    assert_eq!(decided(&[("a-a", "A", "Other", 2.0)]), first + 1, "a name");
    assert_eq!(decided(&[("a-a", "A", "A", 2.0)]), first + 2, "a name that it had before");
    assert_eq!(decided(&[("a-a", "A", "A", 2.0), ("b-b", "B", "B", 2.0)]), first + 3, "a coin");
    case.serve(&[], &[("x", "A", "A", 2.0)]);
    case.world.run("coingecko");
    let decisions = "select batch_number from data_sources where name = 'assets'";
    assert_eq!(number(&mut case.world.database.connect(), decisions), first + 4, "another source");
    assert_eq!(decided(&[("a-a", "A", "A", 3.0), ("b-b", "B", "B", 2.0)]), first + 5, "a price among two");
}
