//! One writer per source.

use std::time::Duration;

use diesel::RunQueryDsl;
use kasparro_testkit::pooler;
use kasparro_testkit::simulator::{Fault, Route};
use rustix::process::Signal;

use crate::support::{World, check_invariants, number, texts};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn of_two_runs_at_once_one_works_and_the_other_says_so() {
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    let first = world.etl().arguments(["run", "--sources", "coinpaprika"]).spawn();
    assert!(world.simulator.wait_for_requests(Route::CoinpaprikaTickers, 1, LONG));

    let second = world.etl().arguments(["run", "--sources", "coinpaprika"]).run();
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(second.stdout.contains("another run is at it"), "{}", second.stdout);
    assert_eq!(world.tally("coinpaprika").status, "skipped");

    world.simulator.release();
    assert_eq!(first.wait(LONG).code, 0);
    let mut connection = world.database.connect();
    check_invariants(&mut connection);
    assert_eq!(
        texts(&mut connection, "select status from etl_runs order by run_id"),
        ["succeeded", "skipped"]
    );
}

#[test]
fn of_twenty_runs_at_once_every_one_ends_well_and_nothing_is_loaded_twice() {
    let world = World::new();
    let runs: Vec<_> = (0..20).map(|_| world.etl().spawn()).collect();
    for run in runs {
        let output = run.wait(LONG);
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    }
    let mut connection = world.database.connect();
    check_invariants(&mut connection);
    assert_eq!(number(&mut connection, "select count(*) from etl_runs where success"), 20);
}

#[test]
fn a_killed_run_gives_its_lease_back_at_once_and_is_marked() {
    if pooler::skip_behind_one("a_killed_run_gives_its_lease_back_at_once_and_is_marked") {
        return;
    }
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    let killed = world.etl().arguments(["run", "--sources", "coinpaprika"]).spawn();
    assert!(world.simulator.wait_for_requests(Route::CoinpaprikaTickers, 1, LONG));
    killed.signal(Signal::KILL);
    killed.wait(LONG);
    world.simulator.release();

    world.run("coinpaprika");
    let mut connection = world.database.connect();
    assert_eq!(
        texts(&mut connection, "select status from etl_runs order by run_id"),
        ["abandoned", "succeeded"]
    );
    check_invariants(&mut connection);
}

#[test]
fn a_run_that_was_overtaken_while_it_stood_still_writes_nothing() {
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    let stopped =
        world.etl().variable("ETL_LEASE_SECONDS", "1").arguments(["run", "--sources", "coinpaprika"]).spawn();
    assert!(world.simulator.wait_for_requests(Route::CoinpaprikaTickers, 1, LONG));
    stopped.signal(Signal::STOP);
    // The lease runs out by the clock of the database: wait for that, not for a time.
    let mut connection = world.database.connect();
    while number(&mut connection, "select count(*) from etl_lease where expires_at > clock_timestamp()") > 0 {
        diesel::sql_query("select pg_sleep(0.05)").execute(&mut connection).unwrap();
    }
    world.run("coinpaprika");
    let rows = number(&mut connection, "select count(*) from observations");

    world.simulator.release();
    stopped.signal(Signal::CONT);
    let output = stopped.wait(LONG);
    assert_eq!(output.code, 75, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("another run has taken this source over"), "{}", output.stderr);
    assert_eq!(number(&mut connection, "select count(*) from observations"), rows);
    check_invariants(&mut connection);
}

#[test]
fn a_signal_ends_a_run_in_order() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let world = World::new();
        world.simulator.fault(Route::CoingeckoMarkets, Fault::hold()).once();
        let run = world.etl().spawn();
        assert!(world.simulator.wait_for_requests(Route::CoingeckoMarkets, 1, LONG));
        run.signal(signal);
        let output = run.wait(LONG);
        assert_eq!(output.code, code, "{}{}", output.stdout, output.stderr);
        let mut connection = world.database.connect();
        assert_eq!(texts(&mut connection, "select status from etl_runs"), ["cancelled"]);
        assert_eq!(
            texts(&mut connection, "select status from etl_run_sources where source = 'coingecko'"),
            ["cancelled"]
        );
        check_invariants(&mut connection);
        world.simulator.release();
        world.run("coinpaprika,coingecko");
    }
}
