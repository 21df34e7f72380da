//! PgBouncer in transaction mode between the program and the server: row D16.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use kasparro_testkit::database::{TestDatabase, server};
use kasparro_testkit::pooler::Pooler;
use kasparro_testkit::process::{Program, Signal};
use kasparro_testkit::simulator::{Fault, Route};

use crate::support::{World, check_invariants, contents, etl, number, texts};

const LONG: Duration = Duration::from_secs(120);

/// The program, told that there is a pooler.
fn pooled(world: &World, pooler: &Pooler) -> Program {
    // Twenty runs may wait for each other behind a few sessions.
    world
        .etl_at(&pooler.url(world.database.name()))
        .variable("DB_STATEMENT_CACHE", "off")
        .variable("ETL_DATABASE_WAIT_SECONDS", "100")
}

#[test]
fn d16_through_a_pooler_the_same_tables_come_out() {
    let Some(pooler) = Pooler::start_or_skip("d16_through_a_pooler_the_same_tables_come_out", server(), 4)
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.csv");
    let rows: String =
        (0..50).map(|n| format!("coin{n},Coin {n},{n}.25,2026-01-{:02}\n", 1 + n % 28)).collect();
    std::fs::write(&path, format!("id,name,price_usd,date\n{rows}")).unwrap();
    let load = |program: Program| {
        let output = program.variable("CSV_FILE_PATH", &path).variable("BATCH_SIZE", "13").run();
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        output
    };
    let (direct, through) = (World::new(), World::new());
    // A session that does not stay ours must not be relied upon to know our time zone.
    let name = through.database.name();
    through
        .database
        .connect()
        .batch_execute(&format!("alter database {name} set timezone = 'Asia/Kathmandu'"))
        .unwrap();
    for _ in 0..2 {
        load(direct.etl());
        load(pooled(&through, &pooler));
        direct.simulator.advance();
        through.simulator.advance();
    }
    let mut connection = through.database.connect();
    connection.batch_execute("set timezone = 'UTC'").unwrap();
    assert_eq!(contents(&mut connection), contents(&mut direct.database.connect()));
    assert_eq!(number(&mut connection, "select count(*) from etl_runs where status = 'succeeded'"), 2);
    for arguments in [&["status"][..], &["check"], &["rejects"], &["reprocess"]] {
        let output = pooled(&through, &pooler).variable("CSV_FILE_PATH", &path).arguments(arguments).run();
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
    }
    assert_eq!(contents(&mut connection), contents(&mut direct.database.connect()));
    // Its sessions stay open: that is what it is for.
    drop(pooler);
    check_invariants(&mut connection);
}

#[test]
fn d16_migrations_go_through_a_pooler() {
    let Some(pooler) = Pooler::start_or_skip("d16_migrations_go_through_a_pooler", server(), 4) else {
        return;
    };
    let database = TestDatabase::empty();
    let url = pooler.url(database.name());
    let migrations: Vec<_> = (0..3)
        .map(|_| etl(&url).variable("DB_STATEMENT_CACHE", "off").arguments(["migrate"]).spawn())
        .collect();
    for migration in migrations {
        let output = migration.wait(LONG);
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
}

#[test]
fn d16_of_twenty_runs_through_a_pooler_none_is_lost() {
    let Some(pooler) = Pooler::start_or_skip("d16_of_twenty_runs_through_a_pooler_none_is_lost", server(), 8)
    else {
        return;
    };
    let world = World::new();
    let runs: Vec<_> = (0..20).map(|_| pooled(&world, &pooler).spawn()).collect();
    for run in runs {
        let output = run.wait(LONG);
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    }
    drop(pooler);
    let mut connection = world.database.connect();
    check_invariants(&mut connection);
    assert_eq!(number(&mut connection, "select count(*) from etl_runs where success"), 20);
    assert_eq!(number(&mut connection, "select count(*) from observations"), 80);
}

#[test]
fn d16_a_pooler_that_changes_servers_does_not_give_a_lease_away() {
    let test = "d16_a_pooler_that_changes_servers_does_not_give_a_lease_away";
    let Some(pooler) = Pooler::start_or_skip(test, server(), 4) else { return };
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    let run = |seconds: &str| {
        pooled(&world, &pooler).variable("ETL_LEASE_SECONDS", seconds).arguments([
            "run",
            "--sources",
            "coinpaprika",
        ])
    };
    let holder = run("60").spawn();
    assert!(world.simulator.wait_for_requests(Route::CoinpaprikaTickers, 1, LONG));
    let mut connection = world.database.connect();
    // What PgBouncer does to server connections that are old or idle.
    let ended = "select count(*) filter (where pg_terminate_backend(pid, 10000)) from pg_stat_activity \
                  where datname = current_database() and pid <> pg_backend_pid()";
    assert!(number(&mut connection, ended) > 0);
    let other = run("60").run();
    assert!(other.stdout.contains("another run is at it"), "{}{}", other.stdout, other.stderr);
    world.simulator.release();
    let output = holder.wait(LONG);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);

    // One that is killed is found out about by the time that its lease runs out.
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    let asked = world.simulator.requests_to(Route::CoinpaprikaTickers).len();
    let killed = run("0.5").spawn();
    assert!(world.simulator.wait_for_requests(Route::CoinpaprikaTickers, asked + 1, LONG));
    killed.signal(Signal::KILL);
    killed.wait(LONG);
    while number(&mut connection, "select count(*) from etl_lease where expires_at > clock_timestamp()") > 0 {
        std::thread::yield_now();
    }
    world.simulator.release();
    let output = run("60").run();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("nothing new"), "{}", output.stdout);
    let last = "select status from etl_runs order by run_id desc limit 2";
    assert_eq!(texts(&mut connection, last), ["succeeded", "abandoned"]);
    drop(pooler);
    check_invariants(&mut connection);
}
