//! Sources that misbehave.

use kasparro_testkit::simulator::{Fault, Route};

use crate::support::{World, check_invariants, number, texts};

#[test]
fn one_dead_source_does_not_stop_the_others() {
    let world = World::new();
    let output = world.etl().variable("COINPAPRIKA_BASE_URL", "http://127.0.0.1:9/v1").run();
    assert_eq!(output.code, 69, "{}{}", output.stdout, output.stderr);
    assert!(world.tally("coingecko").loaded > 0);
    let tally = world.tally("coinpaprika");
    assert_eq!((tally.status.as_str(), tally.failure_kind.as_deref()), ("failed", Some("unavailable")));
    let mut connection = world.database.connect();
    assert_eq!(texts(&mut connection, "select status || ' ' || success from etl_runs"), ["partial false"]);
    check_invariants(&mut connection);
}

#[test]
fn what_passes_is_tried_again() {
    for fault in [
        Fault::status(500),
        Fault::status(503),
        Fault::status(429).retry_after_secs(0),
        Fault::status(429).retry_after("garbage"),
        Fault::status(429).retry_after("-5"),
        Fault::rate_limit_in_200(),
        Fault::truncate_at(100),
        Fault::cut_chunked_at(100),
        Fault::reset(),
        Fault::reset_after(100),
        Fault::empty_body(),
    ] {
        let world = World::new();
        let name = format!("{fault:?}");
        world.simulator.fault(Route::CoinpaprikaTickers, fault).times(2);
        let output = world.run("coinpaprika");
        assert_eq!(
            world.simulator.requests_to(Route::CoinpaprikaTickers).len(),
            3,
            "{name}: {}",
            output.stderr
        );
        check_invariants(&mut world.database.connect());
    }
}

#[test]
fn the_wait_that_the_source_asks_for_is_kept() {
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::status(429).retry_after_secs(1)).once();
    world.run("coinpaprika");
    let requests = world.simulator.requests_to(Route::CoinpaprikaTickers);
    assert!((requests[1].received - requests[0].received).as_secs_f64() >= 1.0);
}

#[test]
fn what_does_not_pass_is_asked_once() {
    for fault in [
        Fault::status(400),
        Fault::status(401),
        Fault::status(403),
        Fault::status(404),
        Fault::captive_portal(),
        Fault::error_in_200(),
        Fault::redirect(302, "http://127.0.0.1:9/elsewhere"),
        Fault::redirect_to_metadata_service(),
    ] {
        let world = World::new();
        let name = format!("{fault:?}");
        world.simulator.fault(Route::CoinpaprikaTickers, fault).always();
        let output = world.etl().arguments(["run", "--sources", "coinpaprika"]).run();
        assert_eq!(output.code, 69, "{name}: {}", output.stderr);
        assert_eq!(world.simulator.requests_to(Route::CoinpaprikaTickers).len(), 1, "{name}");
        assert_eq!(number(&mut world.database.connect(), "select count(*) from observations"), 0);
    }
}

#[test]
fn a_redirect_within_the_host_is_followed() {
    let world = World::new();
    world
        .simulator
        .fault(Route::CoinpaprikaTickers, Fault::redirect(301, "/coinpaprika/v1/tickers?quotes=USD"))
        .once();
    world.run("coinpaprika");
    let output = {
        world.simulator.fault(Route::CoinpaprikaTickers, Fault::redirect_to_self()).always();
        world.etl().arguments(["run", "--sources", "coinpaprika"]).run()
    };
    assert_eq!(output.code, 69, "a loop of redirects ends: {}", output.stderr);
}

#[test]
fn a_source_that_wants_to_be_left_alone_for_long_is_not_called_by_the_next_run() {
    for (status, kind) in [(429, "rate_limited"), (503, "unavailable")] {
        let world = World::new();
        let fault = Fault::status(status).retry_after_secs(86_400);
        world.simulator.fault(Route::CoingeckoMarkets, fault).once();
        let output = world.etl().run();
        assert_eq!(output.code, 69, "{}", output.stderr);
        assert_eq!(world.tally("coingecko").failure_kind.as_deref(), Some(kind));
        assert!(world.tally("coinpaprika").loaded > 0);

        let output = world.etl().run();
        assert_eq!(output.code, 69, "{}", output.stderr);
        let asked = world.simulator.requests_to(Route::CoingeckoMarkets).len();
        assert_eq!(asked, 1, "{status}: the second run did not ask");
        check_invariants(&mut world.database.connect());
    }
}

#[test]
fn a_page_that_fails_for_good_leaves_the_pages_before_it() {
    let world = World::with(kasparro_testkit::simulator::Universe::new(5).coins(600));
    world.simulator.fault(Route::CoingeckoMarkets, Fault::status(500)).on_page(2).always();
    let output = world.etl().arguments(["run", "--sources", "coingecko"]).run();
    assert_eq!(output.code, 69, "{}", output.stderr);
    assert_eq!(world.tally("coingecko").extracted, 250);
    world.simulator.clear_faults();
    world.run("coingecko");
    let tally = world.tally("coingecko");
    assert_eq!(tally.extracted, 600);
    assert_eq!(tally.loaded + tally.unchanged + tally.duplicate + tally.rejected, 600, "{tally:?}");
    check_invariants(&mut world.database.connect());
}

#[test]
fn a_listing_that_never_ends_does_end() {
    for fault in [Fault::repeat_first_page(), Fault::endless_pages()] {
        let world = World::new();
        world.simulator.fault(Route::CoingeckoMarkets, fault).always();
        let output = world
            .etl()
            .variable("COINGECKO_MAX_PAGES", "5")
            .arguments(["run", "--sources", "coingecko"])
            .run();
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(world.simulator.requests_to(Route::CoingeckoMarkets).len() <= 5);
    }
}

#[test]
fn a_huge_body_is_cut_off_and_little_memory_is_used() {
    for fault in [Fault::gzip_bomb(10 << 30), Fault::endless_body(), Fault::huge_body(2 << 30)] {
        let world = World::new();
        let name = format!("{fault:?}");
        world.simulator.fault(Route::CoinpaprikaTickers, fault).always();
        let output = world
            .etl()
            .variable("ETL_MAX_BODY_MIB", "16")
            .arguments(["run", "--sources", "coinpaprika"])
            .measured()
            .run();
        assert_eq!(output.code, 69, "{name}: {}", output.stderr);
        assert!(output.stderr.contains("larger than 16 MiB"), "{name}: {}", output.stderr);
        assert!(output.peak_kib < 128 * 1024, "{name}: {} KiB", output.peak_kib);
    }
}

#[test]
fn a_slow_drip_is_cut_by_the_clock() {
    let world = World::new();
    world
        .simulator
        .fault(Route::CoinpaprikaTickers, Fault::drip(1, std::time::Duration::from_millis(20)))
        .always();
    let output = world
        .etl()
        .variable("ETL_CALL_TIMEOUT_SECONDS", "0.5")
        .variable("ETL_RETRY_ATTEMPTS", "2")
        .arguments(["run", "--sources", "coinpaprika"])
        .run();
    assert_eq!(output.code, 69, "{}", output.stderr);
    assert!(output.stderr.contains("timed out"), "{}", output.stderr);
    assert_eq!(world.simulator.requests_to(Route::CoinpaprikaTickers).len(), 2);
}

#[test]
fn an_empty_list_is_suspicious_and_harms_nothing() {
    let world = World::new();
    world.run("coinpaprika,coingecko");
    let mut connection = world.database.connect();
    let before = number(&mut connection, "select sum(batch_number) from data_sources");
    world.simulator.fault(Route::Any, Fault::empty_list()).always();
    let output = world.etl().run();
    assert_eq!(output.code, 65, "{}", output.stderr);
    assert_eq!(number(&mut connection, "select sum(batch_number) from data_sources"), before);
}

#[test]
fn one_bad_record_costs_one_record() {
    for (fault, code) in [
        (Fault::set_field_of(3, "price", "-1"), "negative_number"),
        (Fault::set_field_of(3, "price", "-0"), "negative_number"),
        (Fault::set_field_of(3, "price", "1e400"), "number_out_of_range"),
        (Fault::set_field_of(3, "price", "1e5000"), "number_out_of_range"),
        (Fault::set_field_of(3, "price", "{}"), "invalid_number"),
        (Fault::set_field_of(3, "price", "NaN"), "malformed_record"),
        (Fault::set_field_of(3, "last_updated", "\"1970-01-01T00:00:00Z\""), "time_out_of_range"),
        (Fault::set_field_of(3, "last_updated", "\"2099-01-01T00:00:00Z\""), "time_out_of_range"),
        (Fault::set_field_of(3, "last_updated", "\"yesterday\""), "invalid_time"),
        (Fault::set_field_of(3, "id", "\"\""), "missing_id"),
        (Fault::escaped_nul(), "invalid_text"),
        (Fault::lone_surrogate(), "invalid_text"),
        (Fault::invalid_utf8(), "invalid_text"),
    ] {
        let world = World::new();
        let name = format!("{fault:?}");
        world.simulator.fault(Route::CoinpaprikaTickers, fault).once();
        let output = world.run("coinpaprika");
        let tally = world.tally("coinpaprika");
        assert_eq!((tally.extracted, tally.rejected), (40, 1), "{name}: {tally:?} {}", output.stderr);
        let mut connection = world.database.connect();
        assert_eq!(texts(&mut connection, "select code from rejects"), [code], "{name}");
        check_invariants(&mut connection);
    }
}

#[test]
fn numbers_as_texts_are_numbers_and_doubled_records_count_once() {
    let world = World::new();
    let edited = Fault::number_as_string("price")
        .and(Fault::duplicate_items(5))
        .and(Fault::add_field("new", "[1]"))
        .and(Fault::utf8_bom());
    world.simulator.fault(Route::CoinpaprikaTickers, edited).once();
    world.run("coinpaprika");
    let tally = world.tally("coinpaprika");
    assert_eq!((tally.extracted, tally.duplicate, tally.rejected), (45, 5, 0), "{tally:?}");
    let plain = World::new();
    plain.run("coinpaprika");
    let prices = "select concat_ws('|', crypto_id, price_usd) from cleaned_data order by 1";
    assert_eq!(texts(&mut world.database.connect(), prices), texts(&mut plain.database.connect(), prices));
}

#[test]
fn a_lost_field_freezes_the_source_and_keeps_the_bytes() {
    let world = World::new();
    world
        .simulator
        .fault(Route::CoingeckoMarkets, Fault::rename_field("current_price", "price_now"))
        .always();
    let output = world.etl().arguments(["run", "--sources", "coingecko"]).run();
    assert_eq!(output.code, 65, "{}", output.stderr);
    assert!(output.stderr.contains("current_price"), "{}", output.stderr);
    let mut connection = world.database.connect();
    assert_eq!(number(&mut connection, "select count(*) from observations"), 0);
    assert_eq!(number(&mut connection, "select count(*) from raw_api_data"), 1);
}

#[test]
fn a_key_goes_into_its_header_and_nowhere_else() {
    let world = World::new();
    let output = world
        .etl()
        .variable("COINGECKO_API_KEY", "CG-canary-4711")
        .variable("COINPAPRIKA_API_KEY", "canary-0815")
        .variable("RUST_LOG", "trace")
        .run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let markets = world.simulator.requests_to(Route::CoingeckoMarkets);
    assert_eq!(markets[0].header("x-cg-demo-api-key"), Some("CG-canary-4711"));
    assert_eq!(
        world.simulator.requests_to(Route::CoinpaprikaTickers)[0].header("authorization"),
        Some("canary-0815")
    );
    assert!(markets.iter().all(|request| !format!("{:?}", request.query).contains("canary")));
    let mut connection = world.database.connect();
    let kept = number(&mut connection, "select count(*) from raw_api_data where url like '%canary%'");
    assert_eq!(kept, 0);
    assert!(!output.stdout.contains("canary"), "{}", output.stdout);
}

/// A record of CoinPaprika with this beginning.
fn ticker(beginning: &str) -> String {
    format!(
        r#"{{{beginning},"name":"A","symbol":"A","rank":1,"total_supply":1,"max_supply":1,"quotes":{{"USD":{{"price":1,"volume_24h":1,"market_cap":1,"percent_change_24h":1}}}}}}"#
    )
}

#[test]
fn what_postgres_would_not_take_costs_a_record_at_most() {
    let good = ticker(r#""id":"good","last_updated":"2026-01-01T00:00:00Z""#);
    let other = |beginning: &str| format!("[{good},{}]", ticker(beginning));
    for (body, loaded, duplicate, rejected) in [
        // A leap second, which is the next second to the database, and that second.
        (other(r#""id":"a","last_updated":"2016-12-31T23:59:60Z""#), 2, 0, 0),
        (other(r#""id":"good","last_updated":"2025-12-31T23:59:60Z""#), 1, 1, 0),
        // A NUL in the id, and in the name of a field; names without end.
        (other(r#""id":"\u0000""#), 1, 0, 1),
        (other(r#""id":"a","\u0000":1"#), 2, 0, 0),
        (other(&format!(r#""id":"a","{}":1"#, "long".repeat(5_000))), 2, 0, 0),
        // A list is no record, nor are prices.
        (format!(r#"[{good},["a","A","A",1,2,3,4,"2026-01-01T00:00:00Z"]]"#), 1, 0, 1),
        (
            other(r#""id":"a""#).replace(
                r#"{"USD":{"price":1,"volume_24h":1,"market_cap":1,"percent_change_24h":1}}}]"#,
                "[[7,8,9,10]]}]",
            ),
            1,
            0,
            1,
        ),
    ] {
        let world = World::new();
        world.simulator.serve_body(Route::CoinpaprikaTickers, body.clone());
        for run in 0..2 {
            let output = world.etl().arguments(["run", "--sources", "coinpaprika"]).run();
            assert_eq!(output.code, 0, "{body}: {}{}", output.stdout, output.stderr);
            let tally = world.tally("coinpaprika");
            let new = if run == 0 { tally.loaded } else { tally.unchanged };
            assert_eq!((new, tally.duplicate, tally.rejected), (loaded, duplicate, rejected), "{body}");
        }
        check_invariants(&mut world.database.connect());
    }
}

#[test]
fn a_page_without_readable_ids_is_not_the_end() {
    let page =
        |id: &str| format!(r#"[{{"id":{id},"current_price":1,"last_updated":"2026-01-01T00:00:00Z"}}]"#);
    let world = World::new();
    world.simulator.serve_pages(Route::CoingeckoMarkets, [page("\"a\""), page("7"), page("\"c\"")]);
    let tally = |code: i32| {
        let output = world.etl().arguments(["run", "--sources", "coingecko"]).run();
        assert_eq!(output.code, code, "{}", output.stderr);
        world.tally("coingecko")
    };
    let first = tally(0);
    assert_eq!((first.loaded, first.rejected), (2, 1), "{first:?}");
    // One that is no list ends the source with what it is.
    world.simulator.serve_pages(Route::CoingeckoMarkets, [page("\"a\""), page("\"b\"") + "]", page("\"c\"")]);
    let second = tally(65);
    assert_eq!((second.unchanged, second.extracted), (1, 1), "{second:?}");
    let kept = "select count(*) from raw_api_data where source = 'coingecko'";
    assert_eq!(number(&mut world.database.connect(), kept), 4, "three pages, and the one that is none");
    check_invariants(&mut world.database.connect());
}

#[test]
fn a_key_of_blanks_is_none() {
    let world = World::new();
    let output = world.etl().variable("COINGECKO_API_KEY", "  ").variable("COINPAPRIKA_API_KEY", " ").run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    for (route, header) in
        [(Route::CoingeckoMarkets, "x-cg-demo-api-key"), (Route::CoinpaprikaTickers, "authorization")]
    {
        assert_eq!(world.simulator.requests_to(route)[0].header(header), None, "{header}");
    }
}
