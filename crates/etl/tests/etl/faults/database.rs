//! A database that fails: the rows D.

use std::time::Duration;

use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use kasparro_localpg::Scratch;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::pooler;
use kasparro_testkit::process::{Output, Signal};
use kasparro_testkit::proxy::{Direction, PostgresProxy, Toxic};
use kasparro_testkit::simulator::{Fault, Route};

use crate::identity::Case;
use crate::support::{World, check_invariants, contents, etl, number, texts};

const LONG: Duration = Duration::from_secs(120);

/// What a run of both APIs leaves behind that nothing disturbed.
fn undisturbed() -> Vec<String> {
    let world = World::new();
    world.run("coinpaprika,coingecko");
    contents(&mut world.database.connect())
}

#[track_caller]
fn assert_loaded_once(world: &World, output: &Output) {
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let mut connection = world.database.connect();
    check_invariants(&mut connection);
    assert_eq!(contents(&mut connection), undisturbed());
    assert_eq!(texts(&mut connection, "select status from etl_runs"), ["succeeded"]);
}

/// A source failed for now; the launcher may try again, and then all is well.
#[track_caller]
pub(super) fn assert_temporary(world: &World, output: &Output, words: &str) {
    assert_eq!(output.code, 75, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains(words), "{words:?} in {}", output.stderr);
    let mut connection = world.database.connect();
    let failed = "select distinct failure_kind from etl_run_sources where status = 'failed'";
    assert_eq!(texts(&mut connection, failed), ["temporary"]);
    assert_eq!(number(&mut connection, "select count(*) from observations"), 0);
    check_invariants(&mut connection);
}

pub(super) fn session(database: &TestDatabase, sql: &str) -> PgConnection {
    let mut connection = database.connect();
    connection.batch_execute(sql).unwrap();
    connection
}

#[test]
fn d1_d2_a_database_that_comes_up_late_is_waited_for() {
    let server = Scratch::start().unwrap();
    let world = World::on(TestDatabase::on(server.cluster()));
    server.cluster().stop().unwrap();
    let mut run = world.etl().variable("ETL_DATABASE_WAIT_SECONDS", "100").spawn();
    run.wait_for_line(LONG, "trying again");
    assert!(world.simulator.requests().is_empty(), "no call is spent before the database is there");
    server.start_again().unwrap();
    assert_loaded_once(&world, &run.wait(LONG));
}

#[test]
fn d2_a_server_that_takes_nobody_yet_is_waited_for() {
    // A standby without readers answers with the words and the code of a server that is starting up (57P03).
    let server = Scratch::start().unwrap();
    let world = World::on(TestDatabase::on(server.cluster()));
    for setting in ["wal_level = replica", "max_wal_senders = 2", "hot_standby = off"] {
        drop(session(&world.database, &format!("alter system set {setting}")));
    }
    server.cluster().stop().unwrap();
    server.start_again().unwrap();
    server.cluster().stop().unwrap();
    let signal = server.cluster().data().join("standby.signal");
    assert!(server.cluster().command("/usr/bin/touch").arg(&signal).status().unwrap().success());
    server.start_again().unwrap();
    let mut run = world.etl().variable("ETL_DATABASE_WAIT_SECONDS", "100").spawn();
    run.wait_for_line(LONG, "not accepting connections");
    run.wait_for_line(LONG, "trying again");
    assert!(world.simulator.requests().is_empty());
    server.cluster().stop().unwrap();
    std::fs::remove_file(&signal).unwrap();
    server.start_again().unwrap();
    assert_loaded_once(&world, &run.wait(LONG));
}

/// Where the worker stands when something happens to its session.
const WORDS: [&str; 4] = ["FOR UPDATE", "\"raw_api_data\"", "COPY", "COMMIT"];

#[test]
fn d3_a_session_that_is_ended_in_the_middle_of_a_batch_writes_it_again() {
    for words in WORDS {
        let world = World::new();
        let relay = PostgresProxy::start(world.database.url()).unwrap();
        // The control connection commits before there is anything to load.
        world.simulator.fault(Route::CoingeckoMarkets, Fault::hold()).once();
        let run = world.etl_at(&relay.url()).variable("ETL_DATABASE_WAIT_SECONDS", "100").spawn();
        assert!(world.simulator.wait_for_requests(Route::CoingeckoMarkets, 1, LONG));
        relay.hold_text(words);
        world.simulator.release();
        assert!(relay.wait_held(LONG), "{words}");
        assert!(end_sessions(&world.database) > 1, "{words}");
        relay.release();
        assert_loaded_once(&world, &run.wait(LONG));
    }
}

/// Ends every session of the program; returns how many there were.
fn end_sessions(database: &TestDatabase) -> i64 {
    number(
        &mut database.connect(),
        "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity \
          where datname = current_database() and application_name = 'kasparro-etl'",
    )
}

#[test]
fn d3_sessions_that_are_ended_behind_the_load_cost_neither_listings_nor_assets() {
    for words in ["insert into coin_contracts", "insert into coin_states", "COPY \"asset_links\""] {
        let case = Case::new(&[("abc-alpha", "ABC", "Alpha", 1.0)], &[("alpha", "u", "Uno", 1.0)]);
        case.list(&[("abc-alpha", "0xa1")], &[("alpha", "0xa1")]);
        let relay = PostgresProxy::start(case.world.database.url()).unwrap();
        relay.hold_text(words);
        let run = case.world.etl_at(&relay.url()).variable("LISTINGS_EVERY", "24h").spawn();
        assert!(relay.wait_held(LONG), "{words}");
        assert!(end_sessions(&case.world.database) > 0, "{words}");
        relay.release();
        let output = run.wait(LONG);
        assert_eq!(output.code, 0, "{words}: {}{}", output.stdout, output.stderr);
        assert_eq!(case.linked(), ["abc-alpha+alpha contract"], "{words}");
        check_invariants(&mut case.world.database.connect());
    }
}

#[test]
fn d3_a_server_that_crashes_in_the_middle_of_a_batch_is_waited_for() {
    let server = Scratch::start().unwrap();
    let world = World::on(TestDatabase::on(server.cluster()));
    let relay = PostgresProxy::start(world.database.url()).unwrap();
    relay.hold_text("COPY");
    let run = world.etl_at(&relay.url()).variable("ETL_DATABASE_WAIT_SECONDS", "100").spawn();
    assert!(relay.wait_held(LONG));
    server.cluster().crash().unwrap();
    relay.release();
    server.start_again().unwrap();
    assert_loaded_once(&world, &run.wait(LONG));
}

#[test]
fn d4_a_confirmation_that_is_lost_is_found_out_about() {
    let world = World::new();
    let relay = PostgresProxy::start(world.database.url()).unwrap();
    relay.hold_text("COPY");
    let run = world.etl_at(&relay.url()).arguments(["run", "--sources", "coinpaprika"]).spawn();
    assert!(relay.wait_held(LONG));
    relay.hold_text("COMMIT");
    assert!(relay.wait_held(LONG));
    // The commit gets through, and not a byte of what the server says to it.
    relay.link().poison(Direction::Downstream, Toxic::CutAfter(relay.link().passed(Direction::Downstream)));
    relay.release();
    let output = run.wait(LONG);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("was committed although the connection broke"), "{}", output.stderr);
    assert_eq!(world.tally("coinpaprika").loaded, 40);
    check_invariants(&mut world.database.connect());
}

#[test]
fn d6_the_victim_of_a_deadlock_writes_its_batch_again() {
    let world = World::new();
    let relay = PostgresProxy::start(world.database.url()).unwrap();
    relay.hold_text("UPDATE \"data_sources\"");
    let run = world.etl_at(&relay.url()).arguments(["run", "--sources", "coinpaprika"]).spawn();
    assert!(relay.wait_held(LONG));
    // The other session never looks for deadlocks: the loader is the one that does, and gives way.
    let mut other = session(
        &world.database,
        "set deadlock_timeout = '1h'; begin; update data_sources set name = name where name = 'coinpaprika'",
    );
    let waits = std::thread::spawn(move || {
        other.batch_execute("update etl_lease set owner = owner; commit").unwrap();
    });
    let mut watcher = world.database.connect();
    while number(&mut watcher, "select count(*) from pg_locks where not granted") == 0 {
        std::thread::yield_now();
    }
    relay.release();
    let output = run.wait(LONG);
    waits.join().unwrap();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("deadlock detected; the batch is written again"), "{}", output.stderr);
    assert_eq!(world.tally("coinpaprika").loaded, 40);
    check_invariants(&mut watcher);
}

#[test]
fn d7_a_transaction_that_cannot_be_serialised_is_tried_again() {
    for level in ["repeatable read", "serializable"] {
        let world = World::new();
        let name = world.database.name();
        drop(session(
            &world.database,
            &format!("alter database {name} set default_transaction_isolation = '{level}'"),
        ));
        let relay = PostgresProxy::start(world.database.url()).unwrap();
        relay.hold_text("UPDATE \"data_sources\"");
        let run = world.etl_at(&relay.url()).arguments(["run", "--sources", "coinpaprika"]).spawn();
        assert!(relay.wait_held(LONG));
        drop(session(&world.database, "update data_sources set last_batch_at = now()"));
        relay.release();
        let output = run.wait(LONG);
        assert_eq!(output.code, 0, "{level}: {}{}", output.stdout, output.stderr);
        assert!(output.stderr.contains("could not serialize access"), "{level}: {}", output.stderr);
        assert_eq!(world.tally("coinpaprika").loaded, 40);
        check_invariants(&mut world.database.connect());
    }
}

#[test]
fn d8_a_database_that_may_only_be_read_is_said_to_be_one() {
    let world = World::new();
    let name = world.database.name();
    let read_only = format!("alter database {name} set default_transaction_read_only = on");
    drop(session(&world.database, &read_only));
    for command in ["run", "check"] {
        let output = world.etl().arguments([command]).run();
        assert_eq!(output.code, 75, "{}", output.stderr);
        assert!(output.stderr.contains("only be read"), "{}", output.stderr);
    }
    assert!(world.simulator.requests().is_empty());
    let mut connection = session(&world.database, "set default_transaction_read_only = off");
    assert_eq!(number(&mut connection, "select count(*) from etl_runs"), 0, "there is nowhere to record it");
}

#[test]
fn d8_a_primary_that_is_demoted_in_the_middle_is_left_and_the_new_one_found() {
    if pooler::skip_behind_one("d8_a_primary_that_is_demoted_in_the_middle_is_left_and_the_new_one_found") {
        return;
    }
    let world = World::new();
    let name = world.database.name();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    let run = world.etl().arguments(["run", "--sources", "coinpaprika"]).spawn();
    assert!(world.simulator.wait_for_requests(Route::CoinpaprikaTickers, 1, LONG));
    // The sessions there are may only read from now on; new ones reach a server that takes writes again.
    drop(session(
        &world.database,
        "create function only_read() returns trigger language plpgsql as $$ begin \
           if pg_backend_pid() in (select pid from old) then \
             raise sqlstate '25006' using message = 'cannot execute INSERT in a read-only transaction'; \
           end if; return new; end $$; \
         create table old as select pid from pg_stat_activity where application_name = 'kasparro-etl'; \
         create trigger only_read before insert on raw_api_data for each row execute function only_read()",
    ));
    world.simulator.release();
    let output = run.wait(LONG);
    assert_eq!(output.code, 0, "{name}: {}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("only be read"), "{}", output.stderr);
    assert_eq!(world.tally("coinpaprika").loaded, 40);
    check_invariants(&mut world.database.connect());
}

/// Kills `migrate` before and after every `step`-th statement.
fn kill_migrations(step: usize) {
    let statements = {
        let database = TestDatabase::empty();
        let relay = PostgresProxy::start(database.url()).unwrap();
        assert_eq!(etl(&relay.url()).arguments(["migrate"]).run().code, 0);
        relay.statements()
    };
    let after = "select string_agg(version, ',' order by version) from __diesel_schema_migrations";
    let want = texts(&mut TestDatabase::new().connect(), after);
    for n in (1..=statements).step_by(step) {
        for confirmed in [false, true] {
            let database = TestDatabase::empty();
            let relay = PostgresProxy::start(database.url()).unwrap();
            if confirmed {
                relay.hold_after(n)
            } else {
                relay.hold_at(n)
            }
            let killed = etl(&relay.url()).arguments(["migrate"]).spawn();
            assert!(relay.wait_held(LONG), "{n} of {statements}");
            killed.signal(Signal::KILL);
            killed.wait(LONG);
            drop(relay);
            let output = etl(database.url()).arguments(["migrate"]).run();
            assert_eq!(output.code, 0, "{n} of {statements}: {}", output.stderr);
            assert_eq!(texts(&mut database.connect(), after), want, "{n} of {statements}");
        }
    }
}

#[test]
fn d13_a_migration_that_is_killed_is_finished_by_the_next_one() {
    kill_migrations(5);
}

#[test]
#[ignore = "minutes: make test-chaos"]
fn d13_a_migration_that_is_killed_anywhere_is_finished_by_the_next_one() {
    kill_migrations(1);
}

#[test]
fn d17_months_that_have_no_partition_get_one_in_the_same_run() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.csv");
    let times =
        ["2013-04-28T00:00:00Z", "2020-02-29T12:00:00Z", "2021-12-31T23:59:59Z", "2022-01-01T00:00:00Z"];
    let rows: String = times.iter().map(|time| format!("a,A,1,{time}\n")).collect();
    std::fs::write(&path, format!("id,name,price_usd,date\n{rows}")).unwrap();
    let output =
        etl(world.database.url()).variable("KASPARRO_SOURCES", "csv").variable("CSV_FILE_PATH", &path).run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let mut connection = world.database.connect();
    let months =
        "select month from observation_partitions where month < now() - interval '1 month' order by 1";
    assert_eq!(texts(&mut connection, months), ["2013-04-01", "2020-02-01", "2021-12-01", "2022-01-01"]);
    check_invariants(&mut connection);
}
