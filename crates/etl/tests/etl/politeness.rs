//! How often the sources are asked.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use kasparro_testkit::simulator::{Fault, Route, Universe};

use crate::support::{World, check_invariants, number, texts};

#[test]
fn a_run_stops_before_the_quota_of_the_month_is_exceeded() {
    let world = World::with(Universe::new(5).coins(600));
    let run = |quota: &str| {
        world
            .etl()
            .variable("COINGECKO_MONTHLY_CALLS", quota)
            .arguments(["run", "--sources", "coingecko"])
            .run()
    };
    let output = run("2");
    assert_eq!(output.code, 69, "{}", output.stderr);
    assert!(output.stderr.contains("used up") && output.stderr.contains("renew at"), "{}", output.stderr);
    assert_eq!(world.simulator.requests_to(Route::CoingeckoMarkets).len(), 2);
    let tally = world.tally("coingecko");
    assert_eq!(
        (tally.failure_kind.as_deref(), tally.extracted),
        (Some("rate_limited"), 500),
        "what was paid for is loaded"
    );

    assert_eq!(run("2").code, 69);
    assert_eq!(
        world.simulator.requests_to(Route::CoingeckoMarkets).len(),
        2,
        "the next run does not even ask"
    );
    assert_eq!(run("100").code, 0);
    assert_eq!(number(&mut world.database.connect(), "select sum(calls) from source_calls"), 6);
    check_invariants(&mut world.database.connect());
}

#[test]
fn calls_that_failed_and_those_of_a_dry_run_count_and_those_to_a_mirror_do_not() {
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::status(500)).times(2);
    let etl = || {
        world.etl().variable("COINPAPRIKA_MONTHLY_CALLS", "100").variable("KASPARRO_SOURCES", "coinpaprika")
    };
    assert_eq!(etl().arguments(["run", "--dry-run"]).run().code, 0);
    let calls = "select source || ' ' || calls from source_calls";
    assert_eq!(texts(&mut world.database.connect(), calls), ["coinpaprika 3"]);
    world.run("coinpaprika,coingecko");
    assert_eq!(texts(&mut world.database.connect(), calls), ["coinpaprika 3"]);
    assert_eq!(etl().run().code, 0);

    let status = world.etl().arguments(["status"]).run().stdout;
    assert!(status.contains("4 calls to 127.0.0.1"), "{status}");
    let used_up = etl().variable("COINPAPRIKA_MONTHLY_CALLS", "4");
    let check = used_up.arguments(["check", "--every", "5m"]).run().stdout;
    for words in ["1 call per run, 288 per day, 8,640 per month", "4 of 4 calls", "runs out at", "renews at"]
    {
        assert!(check.contains(words), "{words}: {check}");
    }
}

#[test]
fn a_redirect_that_is_followed_is_a_call() {
    let world = World::new();
    let run = |quota: &str| {
        world.simulator.clear_faults();
        world.simulator.fault(Route::CoinpaprikaTickers, Fault::redirect_to_self()).times(2);
        world
            .etl()
            .variable("COINPAPRIKA_MONTHLY_CALLS", quota)
            .arguments(["run", "--sources", "coinpaprika"])
            .run()
    };
    let output = run("2");
    assert_eq!(output.code, 69, "{}", output.stderr);
    assert!(output.stderr.contains("used up"), "{}", output.stderr);
    assert_eq!(world.simulator.requests_to(Route::CoinpaprikaTickers).len(), 2);
    assert_eq!(run("5").code, 0);
    assert_eq!(number(&mut world.database.connect(), "select sum(calls) from source_calls"), 5);
    check_invariants(&mut world.database.connect());
}

#[test]
fn a_deadline_holds_also_for_the_wait_for_the_rate_limit() {
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::status(500)).always();
    for (flag, words) in [
        ("--source-deadline", "the source took longer than 3 s (ETL_SOURCE_DEADLINE_SECONDS)"),
        ("--request-deadline", "the request took longer than 3 s (ETL_REQUEST_DEADLINE_SECONDS)"),
    ] {
        let began = Instant::now();
        let output =
            world.etl().arguments(["run", "--sources", "coinpaprika", "--rate-limit", "2", flag, "3"]).run();
        assert_eq!(output.code, 69, "{flag}: {}", output.stderr);
        assert!(output.stderr.contains(words), "{flag}: {}", output.stderr);
        assert!(began.elapsed() < Duration::from_secs(30), "{flag}: {:?}", began.elapsed());
    }
    assert_eq!(world.simulator.requests_to(Route::CoinpaprikaTickers).len(), 4);
}

#[test]
fn the_calls_of_a_listing_are_told_from_the_last_run() {
    let world = World::with(Universe::new(5).coins(600));
    let check = || world.etl().arguments(["check", "--every", "1h"]).run().stdout;
    assert!(check().contains("at most 200 calls per run"), "{}", check());
    world.run("coingecko");
    assert!(check().contains("4 calls per run, 96 per day"), "{}", check());

    // A run that failed says nothing about it, nor does one that calls nobody.
    world.simulator.fault(Route::CoingeckoMarkets, Fault::status(403)).once();
    assert_eq!(world.etl().arguments(["run", "--sources", "coingecko"]).run().code, 69);
    assert!(check().contains("4 calls per run, 96 per day"), "{}", check());
    let mut connection = world.database.connect();
    for table in ["observations", "coin_latest"] {
        let sql = format!(
            "update {table} set price_usd = price_usd + 1 where coin_id = (select min(coin_id) from coins)"
        );
        connection.batch_execute(&sql).unwrap();
    }
    assert_eq!(world.etl().arguments(["reprocess"]).run().code, 0);
    assert_eq!(world.tally("coingecko").extracted, 250, "the bytes that make a difference");
    assert!(check().contains("4 calls per run, 96 per day"), "{}", check());
}
