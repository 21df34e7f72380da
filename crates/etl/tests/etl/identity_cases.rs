//! More hard cases of identity: bridged coins, ids that migrate, coins of a file, and a death in the middle.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use kasparro_testkit::process::Signal;
use kasparro_testkit::proxy::PostgresProxy;
use kasparro_testkit::simulator::{Response, Route};
use serde_json::json;

use crate::identity::{Case, Row};
use crate::support::{check_invariants, number, texts};

const LONG: Duration = Duration::from_secs(120);

/// One id of CoinPaprika has an address on every chain, CoinGecko a coin of its own for each bridge.
#[test]
fn a_coin_is_not_its_bridged_forms_although_their_addresses_are_listed_as_its_own() {
    let case = Case::new(
        &[("dai-dai", "DAI", "Dai", 1.0)],
        &[
            ("dai", "dai", "Dai", 1.0),
            ("polygon-pos-bridged-dai", "dai", "Polygon PoS Bridged DAI (Polygon POS)", 1.0),
            ("l2-standard-bridged-dai-base", "dai", "L2 Standard Bridged DAI (Base)", 1.0),
        ],
    );
    let simulator = &case.world.simulator;
    simulator
        .serve_body(Route::CoinpaprikaCoins, json!([{ "id": "dai-dai", "is_active": true }]).to_string());
    simulator.serve_body(Route::CoinpaprikaPlatforms, "[\"eth-ethereum\", \"matic-polygon\", \"base-base\"]");
    let chains = [("eth-ethereum", "0xd1"), ("matic-polygon", "0xd2"), ("base-base", "0xd3")];
    for (chain, address) in chains {
        let list = json!([{ "id": "dai-dai", "address": address, "type": "ERC20" }]);
        simulator.serve_at(&format!("/coinpaprika/v1/contracts/{chain}"), Response::json(list.to_string()));
    }
    let coin = |id: &str, name: &str, chain: &str, address: &str| json!({ "id": id, "symbol": "dai", "name": name, "platforms": { chain: address } });
    let list = json!([
        coin("dai", "Dai", "ethereum", "0xd1"),
        coin("polygon-pos-bridged-dai", "Polygon PoS Bridged DAI (Polygon POS)", "polygon-pos", "0xd2"),
        coin("l2-standard-bridged-dai-base", "L2 Standard Bridged DAI (Base)", "base", "0xd3"),
    ]);
    simulator.serve_body(Route::CoingeckoList, list.to_string());
    case.load_with(&[("LISTINGS_EVERY", "24h")]);
    let linked = case.linked();
    assert_eq!(linked.len(), 1, "{linked:?}");
    assert!(linked[0].starts_with("dai+dai-dai "), "{linked:?}");
}

#[test]
fn an_id_that_migrates_is_told_and_keeps_its_asset() {
    let other = [("other", "oth", "Other", 1.0)];
    let case = Case::new(&[("old-coin", "OLD", "Coin", 1.0)], &other);
    case.load();
    let asset = "select a.slug from assets a join asset_links l using (asset_id) join coins c using (coin_id) \
                  where c.crypto_id = 'old-coin' and l.ended_at is null";
    let before = texts(&mut case.world.database.connect(), asset);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("links.csv");
    std::fs::write(
        &file,
        "verdict,source,crypto_id,other_source,other_id,note\nmigrated,coinpaprika,old-coin,coinpaprika,new-coin,\n",
    )
    .unwrap();
    case.serve(&[("new-coin", "NEW", "Coin", 1.0)], &other);
    case.load_with(&[("ASSET_LINKS_PATH", file.to_str().unwrap())]);
    assert_eq!(case.states(), ["new-coin active", "old-coin migrated", "other active"]);
    let connection = &mut case.world.database.connect();
    let to = "select migrated_to from coin_states where until is null and state = 'migrated'";
    assert_eq!(texts(connection, to), ["new-coin"]);
    assert_eq!(texts(connection, asset), before, "an asset id is never given away");
    check_invariants(connection);
}

#[test]
fn coins_of_a_file_are_those_of_the_vendors() {
    let case =
        Case::new(&[("btc-bitcoin", "BTC", "Bitcoin", 90_000.0)], &[("bitcoin", "btc", "Bitcoin", 90_010.0)]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.csv");
    std::fs::write(
        &file,
        "id,name,symbol,price_usd,last_updated\nmine-1,Bitcoin,btc,90005,2026-01-15T12:00:00Z\n\
         mine-2,Unheard Of,UNH,1,2026-01-15T12:00:00Z\n",
    )
    .unwrap();
    let output = case
        .world
        .etl()
        .variable("CSV_FILE_PATH", file.to_str().unwrap())
        .arguments(["run", "--sources", "coinpaprika,coingecko,csv"])
        .run();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert_eq!(case.linked(), ["bitcoin+btc-bitcoin+mine-1 name"]);
}

#[test]
fn a_resolution_that_is_killed_leaves_nothing_and_the_next_one_does_it() {
    let case = Case::new(&[("abc-alpha", "ABC", "Alpha", 1.0)], &[("alpha", "abc", "Alpha", 1.0)]);
    for words in ["insert into coin_states", "COPY \"assets\"", "COPY \"asset_links\"", "COMMIT"] {
        let connection = &mut case.world.database.connect();
        case.load();
        let undo = "truncate asset_links, asset_reviews, coin_states, assets; \
                    update etl_checkpoints set cursor = '{}' where source = 'assets'";
        connection.batch_execute(undo).unwrap();
        let relay = PostgresProxy::start(case.world.database.url()).unwrap();
        relay.hold_text(words);
        let run = case.world.etl_at(&relay.url()).arguments(["resolve"]).spawn();
        assert!(relay.wait_held(LONG), "{words}");
        run.signal(Signal::KILL);
        run.wait(LONG);
        drop(relay);
        assert_eq!(number(connection, "select count(*) from asset_links"), 0, "{words}");
        let output = case.world.etl().arguments(["resolve"]).run();
        assert_eq!(output.code, 0, "{words}: {}{}", output.stdout, output.stderr);
        assert_eq!(case.linked(), ["abc-alpha+alpha name"], "{words}");
        check_invariants(connection);
    }
}

/// Assets are asked for by the ids of sources as well: one that was called like the id of another coin would be taken for
/// that coin's.
#[test]
fn no_asset_is_called_like_the_id_of_a_coin_of_another() {
    let case = Case::new(
        &[
            ("pepe-pepe", "PEPE", "Pepe", 1.0),
            ("pepe-pepe2", "PEPE", "Pepe", 0.2),
            ("pepe-pepe3", "PEPE", "Pepe", 0.3),
        ],
        &[("pepe", "pepe", "Pepe", 1.0)],
    );
    case.load();
    let called = "select c.crypto_id || ' ' || a.slug from assets a join asset_links l using (asset_id) join coins c using (coin_id) \
                   where l.ended_at is null order by 1";
    let called = texts(&mut case.world.database.connect(), called);
    assert_eq!(called, ["pepe pepe", "pepe-pepe pepe", "pepe-pepe2 pepe-pepe2", "pepe-pepe3 pepe-pepe3"]);
}

#[test]
fn a_part_of_a_name_is_enough_where_the_symbol_is_alone_and_the_price_agrees() {
    let case = Case::new(
        &[
            ("aixbt-aixbt-by-virtuals", "AIXBT", "aixbt by Virtuals", 0.1),
            // The price is neither near nor far.
            ("now-now-token", "NOW", "NOW Token", 1.0),
            // Nothing of the name is the same.
            ("zed-zedchain", "ZED", "Zedchain", 3.0),
            // Two of them.
            ("cat-cat-on-sol", "CAT", "Fat Cat Official", 2.0),
            ("cat-cat-on-base", "CAT", "Fat Cat Here", 2.0),
            ("usdx-usdx", "USDX", "Dollar X", 2.0),
            // Half of all coins cost a dollar.
            ("usdk-usdk", "USDK", "Dollar K", 1.0),
        ],
        &[
            ("aixbt", "aixbt", "aixbt", 0.101),
            ("now-coin", "now", "Now Coin", 1.5),
            ("zenith", "zed", "Zenith", 3.0),
            ("fat-cat", "cat", "Fat Cat", 2.0),
            ("bridged-usdx", "usdx", "Bridged Dollar X", 2.0),
            ("dollar-k-money", "usdk", "Dollar K Money", 1.0),
        ],
    );
    case.load();
    assert_eq!(case.linked(), ["aixbt+aixbt-aixbt-by-virtuals name"]);
}

/// The prices say nothing here: they are neither near nor far.
#[test]
fn among_names_that_come_to_the_same_the_one_that_is_spelt_alike_is_meant() {
    let case = Case::new(
        &[
            ("don-don-key", "DON", " Don-key ", 1.0),
            ("don-donkey", "DON", "Donkey", 1.0),
            // The vendor had a coin of that name before.
            ("syn-synapse", "SYN", "Synapse", 1.0),
            // Who has only one of two versions may mean either.
            ("dora-dora-factory", "DORA", "Dora Factory", 1.0),
            // The second coin of that symbol, whose name says no more than that.
            ("ara-ara-token", "ARA", "Ara Token", 1.0),
            ("ara5-ara", "ARA", "Ara", 1.0),
            ("xai5-xai", "XAI", "Xai", 1.0),
            ("pi2-pi-network", "PI", "Pi Network", 1.0),
            // Two are spelt alike.
            ("kek-kekius-maximus", "KEK", "Kekius Maximus", 1.0),
            ("kek1-kekius-maximus", "KEK", "Kekius Maximus", 1.0),
            ("kek-kekiusmaximus", "KEK", "KekiusMaximus", 1.0),
        ],
        &[
            ("don-key", "don", "DON-KEY", 1.5),
            ("synapse-2", "syn", "Synapse", 1.5),
            ("dora-factory", "dora", "Dora Factory [OLD]", 1.5),
            ("dora-factory-2", "dora", "Dora Factory", 1.5),
            ("kekius", "kek", "Kekius Maximus", 1.5),
            ("ara-token", "ara", "Ara", 1.5),
            ("xai-blockchain", "xai", "Xai", 1.5),
            ("pi-network", "pi", "Pi Network", 1.5),
        ],
    );
    case.load();
    let linked = [
        "ara-ara-token+ara-token name",
        "don-don-key+don-key name",
        "pi-network+pi2-pi-network name",
        "syn-synapse+synapse-2 name",
    ];
    assert_eq!(case.linked(), linked);
}

/// A chain that is called differently by both, and by names that nobody has told us.
#[test]
fn a_chain_is_recognised_by_the_addresses_on_it() {
    let coins: [Row<'_>; 4] = [
        ("aaa-one", "AAA", "Aleph", 1.0),
        ("bbb-two", "BBB", "Beth", 1.0),
        ("ccc-three", "CCC", "Gimel", 1.0),
        ("ddd-four", "DDD", "Daleth", 1.0),
    ];
    let theirs: [Row<'_>; 4] = [
        ("uno", "u", "Uno", 1.0),
        ("due", "d", "Due", 1.0),
        ("tre", "t", "Tre", 1.0),
        ("quattro", "q", "Quattro", 1.0),
    ];
    let case = Case::new(&coins, &theirs);
    let simulator = &case.world.simulator;
    let addresses = ["0xA1", "0xa2", "0xa3", "0xa4"];
    let ids = coins.iter().map(|(id, ..)| json!({ "id": id, "is_active": true }));
    simulator.serve_body(Route::CoinpaprikaCoins, json!(ids.collect::<Vec<_>>()).to_string());
    simulator.serve_body(Route::CoinpaprikaPlatforms, "[\"nc-newchain\"]");
    let ours = coins.iter().zip(addresses).map(|((id, ..), address)| json!({ "id": id, "address": address }));
    simulator.serve_body(Route::CoinpaprikaContracts, json!(ours.collect::<Vec<_>>()).to_string());
    let listed = theirs.iter().zip(addresses).map(|((id, symbol, name, _), address)| {
        let address = address.to_lowercase();
        json!({ "id": id, "symbol": symbol, "name": name, "platforms": { "the-new-chain": address } })
    });
    simulator.serve_body(Route::CoingeckoList, json!(listed.collect::<Vec<_>>()).to_string());
    case.load_with(&[("LISTINGS_EVERY", "24h")]);
    assert_eq!(
        case.linked(),
        [
            "aaa-one+uno contract",
            "bbb-two+due contract",
            "ccc-three+tre contract",
            "ddd-four+quattro contract"
        ]
    );
}

/// A source that gives a coin another id: it is the same asset, and the old id leads to the new price.
#[test]
fn an_id_that_took_the_place_of_another_is_noticed() {
    let vendor: [Row<'_>; 2] = [("alpha", "abc", "Alpha", 1.0), ("beta", "bet", "Beta", 5.0)];
    let case = Case::new(&[("abc-alpha", "ABC", "Alpha", 1.0), ("bet-beta", "BET", "Beta", 5.0)], &vendor);
    case.load();
    let assets = "select distinct a.slug from assets a join asset_links l using (asset_id) where l.ended_at is null order by 1";
    assert_eq!(texts(&mut case.world.database.connect(), assets), ["alpha", "beta"]);
    // The one goes on at once, the other with a price that is not its own.
    case.serve_at(
        "2026-01-15T18:00:00Z",
        &[("abc-alpha-new", "ABC", "Alpha", 1.1), ("bet-beta-token", "BET", "Beta", 50.0)],
        &vendor,
    );
    case.load();
    assert_eq!(
        case.states(),
        [
            "abc-alpha migrated",
            "abc-alpha-new active",
            "alpha active",
            "bet-beta missing",
            "bet-beta-token active",
            "beta active"
        ]
    );
    let connection = &mut case.world.database.connect();
    let to = "select migrated_to || ' ' || migrated_by from coin_states where until is null and state = 'migrated'";
    assert_eq!(texts(connection, to), ["abc-alpha-new name"]);
    assert_eq!(case.linked(), ["abc-alpha+abc-alpha-new+alpha name", "bet-beta+beta name"]);
    // What was noticed stays, whatever the new id is called and costs later.
    let vendor: [Row<'_>; 2] = [("alpha", "abc", "Alpha", 9.1), ("beta", "bet", "Beta", 5.0)];
    case.serve_at("2026-01-20T18:00:00Z", &[("abc-alpha-new", "AXX", "Alphabet", 9.0)], &vendor);
    case.load();
    assert_eq!(case.linked()[0], "abc-alpha+abc-alpha-new+alpha name");
    assert_eq!(texts(connection, to), ["abc-alpha-new name"]);
    check_invariants(connection);
    // The old id is back: two coins.
    let both = [("abc-alpha", "ABC", "Alpha", 1.0), ("abc-alpha-new", "AXX", "Alphabet", 9.0)];
    case.serve_at("2026-01-21T18:00:00Z", &both, &vendor);
    case.load();
    assert!(texts(connection, to).is_empty());
    assert!(!case.linked()[0].contains("abc-alpha+abc-alpha-new"), "{:?}", case.linked());
    check_invariants(connection);
}

#[test]
fn a_contract_tells_who_took_the_place_of_whom() {
    let theirs: [Row<'_>; 1] = [("alpha", "abc", "Alpha", 1.0)];
    let case = Case::new(&[("abc-alpha", "ABC", "Alpha", 1.0)], &theirs);
    let listed = |id: &str| {
        case.list(&[(id, "0xa1")], &[("alpha", "0xa1")]);
        case.load_with(&[("LISTINGS_EVERY", "24h")]);
    };
    listed("abc-alpha");
    assert_eq!(case.linked(), ["abc-alpha+alpha contract"]);
    // Another name, another symbol, another price, long after.
    let theirs: [Row<'_>; 1] = [("alpha", "abc", "Alpha", 40.0)];
    case.serve_at("2026-03-15T12:00:00Z", &[("omega-omega", "OMEGA", "Omega", 40.0)], &theirs);
    let connection = &mut case.world.database.connect();
    connection
        .batch_execute("update etl_checkpoints set updated_at = updated_at - interval '1 day'")
        .unwrap();
    listed("omega-omega");
    let to = "select migrated_to || ' ' || migrated_by from coin_states where until is null and state = 'migrated'";
    assert_eq!(texts(connection, to), ["omega-omega contract"]);
    assert_eq!(case.linked(), ["abc-alpha+alpha+omega-omega id"]);
    let output = case.world.etl().arguments(["resolve", "--explain", "abc-alpha", "--json"]).run();
    assert!(output.stdout.contains("omega-omega"), "{}", output.stdout);
    check_invariants(connection);
}
