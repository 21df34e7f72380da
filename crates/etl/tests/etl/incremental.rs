//! What a further run makes of sources that have moved, stood still or gone back.

use kasparro_testkit::simulator::{Fault, Route, Universe};

use crate::support::{World, check_invariants, contents, number, texts};

#[test]
fn a_second_run_on_unchanged_input_writes_no_observation_and_says_so() {
    let world = World::new();
    world.run("coinpaprika,coingecko");
    let mut connection = world.database.connect();
    let before = number(&mut connection, "select count(*) from observations");
    assert!(before >= 80, "{before}");

    let output = world.run("coinpaprika,coingecko");
    assert!(output.stdout.contains("nothing new"), "{}", output.stdout);
    for source in ["coinpaprika", "coingecko"] {
        let tally = world.tally(source);
        assert_eq!((tally.loaded, tally.restated), (0, 0), "{tally:?}");
        assert_eq!(tally.unchanged + tally.rejected, tally.extracted, "{tally:?}");
    }
    assert_eq!(number(&mut connection, "select count(*) from observations"), before);
    check_invariants(&mut connection);
}

#[test]
fn only_the_coins_that_moved_are_new() {
    let world = World::new();
    world.run("coinpaprika,coingecko");
    world.simulator.advance();
    let moved = world.simulator.moved_coins(0, 1).len() as i64;
    assert!(moved > 0);
    world.run("coinpaprika,coingecko");
    for source in ["coinpaprika", "coingecko"] {
        let tally = world.tally(source);
        assert!(tally.loaded > 0 && tally.loaded <= moved, "{moved} moved: {tally:?}");
        assert!(tally.unchanged > 0, "{tally:?}");
    }
    check_invariants(&mut world.database.connect());
}

#[test]
fn an_older_snapshot_after_a_newer_one_does_not_become_the_latest() {
    let world = World::new();
    world.simulator.advance_by(3);
    world.run("coinpaprika");
    let mut connection = world.database.connect();
    let latest = "select concat_ws('|', coin_id, observed_at, price_usd) from coin_latest order by 1";
    let before = texts(&mut connection, latest);
    let rows = number(&mut connection, "select count(*) from observations");

    world.simulator.fault(Route::CoinpaprikaTickers, Fault::ticks_behind(2)).once();
    world.run("coinpaprika");
    assert_eq!(texts(&mut connection, latest), before);
    let added = number(&mut connection, "select count(*) from observations") - rows;
    assert!(added > 0, "the older snapshot is kept all the same");
    assert_eq!(world.tally("coinpaprika").loaded, added);
    check_invariants(&mut connection);
}

#[test]
fn there_and_back_again_is_three_observations() {
    let world = World::new();
    let body = |price: &str, minute: u32| {
        format!(
            r#"[{{"id":"btc-bitcoin","name":"Bitcoin","symbol":"BTC","last_updated":"2026-01-01T00:{minute:02}:00Z","quotes":{{"USD":{{"price":{price}}}}}}}]"#
        )
    };
    for (price, minute) in [("1.5", 1), ("2", 2), ("1.5", 3)] {
        world.simulator.serve_body(Route::CoinpaprikaTickers, body(price, minute));
        world.run("coinpaprika");
    }
    let prices =
        texts(&mut world.database.connect(), "select price_usd from cleaned_data order by observed_at");
    assert_eq!(prices, ["1.5", "2", "1.5"]);
}

#[test]
fn records_without_a_time_are_compared_with_what_was_said_last() {
    let world = World::new();
    let body = |price: &str| {
        format!(r#"[{{"id":"x","name":"X","symbol":"x","current_price":{price},"last_updated":null}}]"#)
    };
    for price in ["1.5", "1.50", "2", "1.5", "null"] {
        world.simulator.serve_body(Route::CoingeckoMarkets, body(price));
        world.run("coingecko");
    }
    let mut connection = world.database.connect();
    let prices = texts(
        &mut connection,
        "select coalesce(price_usd::text, 'null') from cleaned_data order by observed_at",
    );
    assert_eq!(prices, ["1.5", "2", "1.5", "null"]);
    check_invariants(&mut connection);
}

#[test]
fn a_correction_of_a_known_time_restates_the_observation() {
    let world = World::new();
    let body = |bitcoin: &str| {
        format!(
            r#"[{{"id":"b","name":"B","symbol":"b","current_price":{bitcoin},"last_updated":"2026-01-01T00:00:00.000Z"}},
                {{"id":"c","name":"C","symbol":"c","current_price":7,"last_updated":"2026-01-01T00:00:00.000Z"}}]"#
        )
    };
    world.simulator.serve_body(Route::CoingeckoMarkets, body("1"));
    world.run("coingecko");
    world.simulator.serve_body(Route::CoingeckoMarkets, body("1.25"));
    world.run("coingecko");
    let tally = world.tally("coingecko");
    assert_eq!((tally.loaded, tally.restated, tally.unchanged), (0, 1, 1));
    let mut connection = world.database.connect();
    assert_eq!(
        texts(&mut connection, "select price_usd from cleaned_data order by crypto_id"),
        ["1.25", "7"]
    );
    assert_eq!(number(&mut connection, "select count(*) from raw_api_data"), 2, "both bodies are kept");
    check_invariants(&mut connection);
}

#[test]
fn a_coin_on_two_pages_counts_once() {
    let world = World::new();
    let coin = |id: &str| {
        format!(
            r#"{{"id":"{id}","name":"{id}","symbol":"s","current_price":1,"last_updated":"2026-01-01T00:00:00Z"}}"#
        )
    };
    let pages = [format!("[{},{}]", coin("a"), coin("b")), format!("[{},{}]", coin("b"), coin("c"))];
    world.simulator.serve_pages(Route::CoingeckoMarkets, pages);
    world.run("coingecko");
    let tally = world.tally("coingecko");
    assert_eq!((tally.extracted, tally.loaded, tally.duplicate), (4, 3, 1));
}

#[test]
fn zero_is_unknown_only_where_the_source_means_that() {
    let world = World::new();
    world.simulator.serve_body(
        Route::CoinpaprikaTickers,
        r#"[{"id":"z","name":"Z","symbol":"Z","rank":0,"circulating_supply":0,"total_supply":0,"max_supply":0,
             "last_updated":"2026-01-01T00:00:00Z","quotes":{"USD":{"price":0,"volume_24h":0,"market_cap":0,"percent_change_24h":0}}}]"#,
    );
    world.simulator.serve_body(
        Route::CoingeckoMarkets,
        r#"[{"id":"z","name":"Z","symbol":"z","market_cap_rank":null,"current_price":0,"market_cap":0.0,"total_volume":0.0,
             "price_change_percentage_24h":0.0,"circulating_supply":0.0,"total_supply":0.0,"max_supply":null,"last_updated":"2026-01-01T00:00:00Z"}]"#,
    );
    world.run("coinpaprika,coingecko");
    let row = |source: &str| {
        let columns = [
            "price_usd",
            "market_cap_usd",
            "volume_24h_usd",
            "change_24h_percent",
            "rank",
            "circulating_supply",
            "total_supply",
            "max_supply",
        ];
        let shown = columns.map(|column| format!("coalesce({column}::text, '-')")).join(",");
        texts(
            &mut world.database.connect(),
            &format!("select concat_ws(' ', {shown}) from cleaned_data where data_source = '{source}'"),
        )
    };
    assert_eq!(row("coinpaprika"), ["0 - 0 0 - - - -"]);
    assert_eq!(row("coingecko"), ["0 - 0.0 0.0 - - 0.0 -"]);
}

#[test]
fn two_loads_of_the_same_world_leave_the_same_tables() {
    let worlds = [World::with(Universe::new(11).coins(300)), World::with(Universe::new(11).coins(300))];
    let [first, second] = worlds.map(|world| {
        world.run("coinpaprika,coingecko");
        world.simulator.advance();
        world.run("coinpaprika,coingecko");
        let mut connection = world.database.connect();
        check_invariants(&mut connection);
        contents(&mut connection)
    });
    assert_eq!(first, second);
}

/// A coin without a time of its own would hide that all others stand still.
#[test]
fn the_newest_time_of_a_source_is_that_of_an_observation() {
    let world = World::new();
    let body = |blank: &str| {
        format!(
            r#"[{{"id":"still","current_price":1,{blank}"last_updated":"2026-01-01T00:00:00Z"}},{{"id":"timeless","current_price":2}}]"#
        )
    };
    let mut connection = world.database.connect();
    let newest = "select (extract(epoch from last_processed_timestamp) * 1000000)::bigint from etl_checkpoints where source = 'coingecko'";
    let observed = "select (extract(epoch from max(observed_at)) * 1000000)::bigint from observations";
    for blank in ["", " ", "  "] {
        world.simulator.serve_pages(Route::CoingeckoMarkets, [body(blank), "[]".to_owned()]);
        world.run("coingecko");
        assert_eq!(number(&mut connection, newest), number(&mut connection, observed), "{blank:?}");
    }
    assert_eq!(number(&mut connection, "select count(*) from observations"), 2);
}
