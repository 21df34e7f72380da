//! The command line: migrations, settings, exit codes.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::{Program, Signal};
use kasparro_testkit::simulator::{Fault, Route};

use crate::support::{Role, World, etl, number};

#[test]
fn eight_migrators_at_once_all_end_well_and_one_works() {
    let database = TestDatabase::empty();
    let programs: Vec<_> = (0..8).map(|_| etl(database.url()).arguments(["migrate"]).spawn()).collect();
    let outputs: Vec<_> = programs.into_iter().map(|program| program.wait(Duration::from_secs(60))).collect();
    for output in &outputs {
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    assert_eq!(outputs.iter().filter(|output| output.stdout.contains("applied")).count(), 1);
    let applied =
        number(&mut database.connect(), "select count(distinct version) from __diesel_schema_migrations");
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    assert_eq!(applied, std::fs::read_dir(migrations).unwrap().count() as i64);
}

#[test]
fn only_who_reads_files_needs_to_be_told_which() {
    let database = TestDatabase::new();
    let with_csv =
        |command: &str| etl(database.url()).variable("KASPARRO_SOURCES", "csv").arguments([command]).run();
    for (command, code) in [("migrate", 0), ("status", 0), ("rejects", 0), ("run", 78), ("check", 78)] {
        let output = with_csv(command);
        assert_eq!(output.code, code, "{command}: {}", output.stderr);
        assert_eq!(output.stderr.contains("CSV_FILE_PATH"), code == 78, "{command}: {}", output.stderr);
    }
}

#[test]
fn migrations_go_down_and_up_again() {
    let database = TestDatabase::new();
    let tables = "select count(*) from pg_tables where schemaname = 'public' and tablename <> '__diesel_schema_migrations'";
    let before = number(&mut database.connect(), tables);
    kasparro_core::db::revert_all(database.url()).unwrap();
    assert_eq!(number(&mut database.connect(), tables), 0);
    assert_eq!(
        number(&mut database.connect(), "select count(*) from pg_views where schemaname = 'public'"),
        0
    );
    kasparro_core::db::migrate(database.url()).unwrap();
    assert_eq!(number(&mut database.connect(), tables), before);
}

#[test]
fn every_column_of_every_table_is_described_or_obvious() {
    let database = TestDatabase::new();
    let undescribed = number(
        &mut database.connect(),
        "select count(*) from pg_class c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v') \
            and relname <> '__diesel_schema_migrations' and obj_description(c.oid) is null",
    );
    assert_eq!(undescribed, 0);
}

#[test]
fn a_database_without_tables_is_said_to_be_one() {
    let database = TestDatabase::empty();
    let output = etl(database.url()).run();
    assert_eq!(output.code, 78);
    assert!(output.stderr.contains("run `kasparro-etl migrate`"), "{}", output.stderr);
}

#[test]
fn tables_of_another_version_are_refused_with_the_way_out() {
    for (version, words) in
        [("29990101000000", "use a newer program"), ("20000101000000", "kasparro-etl migrate")]
    {
        let world = World::new();
        let mut connection = world.database.connect();
        diesel::RunQueryDsl::execute(
            diesel::sql_query(format!(
                "with gone as (delete from __diesel_schema_migrations) insert into __diesel_schema_migrations (version) values ('{version}')"
            )),
            &mut connection,
        )
        .unwrap();
        let output = world.etl().run();
        assert_eq!(output.code, 78);
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
}

#[test]
fn tables_of_a_newer_version_are_left_alone_by_migrate() {
    let database = TestDatabase::new();
    let mut connection = database.connect();
    connection
        .batch_execute("insert into __diesel_schema_migrations (version) values ('29990101000000')")
        .unwrap();
    let output = etl(database.url()).arguments(["migrate"]).run();
    assert_eq!(output.code, 78, "{}{}", output.stdout, output.stderr);
    assert!(
        output.stderr.contains("of version 29990101000000") && output.stderr.contains("use a newer program"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_role_without_rights_is_told_who_migrates() {
    for database in [TestDatabase::empty(), TestDatabase::new()] {
        let role = Role::new(&database, "");
        database.connect().batch_execute("revoke create on schema public from public").unwrap();
        let output = etl(&role.url).arguments(["migrate"]).run();
        assert_eq!(output.code, 78, "{}{}", output.stdout, output.stderr);
        for words in ["permission denied", "by their owner", "grant create on schema"] {
            assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
        }
    }
}

#[test]
fn a_database_that_is_away_costs_no_call() {
    let world = World::new();
    let output = world
        .etl_at("postgresql://someone:canary-password@127.0.0.1:9/kasparro?connect_timeout=2")
        .variable("ETL_DATABASE_WAIT_SECONDS", "0.3")
        .run();
    assert_eq!(output.code, 75, "{}", output.stderr);
    assert!(world.simulator.requests().is_empty());
    assert!(!output.stderr.contains("canary"), "{}", output.stderr);
}

#[test]
fn an_address_that_cannot_be_read_is_not_repeated() {
    for url in [
        "postgres//me:canary@host/db",
        "mysql://me:canary@host/db",
        "postgresql://me:canary@host:port/db",
        "postgresql://me:canary/x@127.0.0.1:1/db",
        "postgresql://me:1/canary@127.0.0.1:1/db",
        "postgresql://me:x@canary@127.0.0.1:1/db",
        "postgresql://me:canary%zz@127.0.0.1:1/db",
        "postgresql://me:canary@[::1/db",
        "postgresql://me:canary@127.0.0.1:99999/db",
        "postgresql://me:canary pass@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?pasword=canary",
        "postgresql://127.0.0.1:1/db?sslmode=canary",
        "host=127.0.0.1 port=99999 password='canary",
    ] {
        let started = Instant::now();
        let output = etl(url).variable("ETL_DATABASE_WAIT_SECONDS", "30").run();
        assert_eq!(output.code, 78, "{url}: {}", output.stderr);
        assert!(output.stderr.contains("DATABASE_URL cannot be used: "), "{url}: {}", output.stderr);
        assert!(!output.stderr.contains("canary"), "{}", output.stderr);
        assert!(started.elapsed() < Duration::from_secs(10), "{url}");
    }
}

#[test]
fn a_broken_line_of_the_env_file_is_named_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let broken = "HOST=h\nDATABASE_URL=postgresql://u:canary pass@h/d\n";
    std::fs::write(folder.path().join(".env"), broken).unwrap();
    let output = etl("").folder(folder.path()).arguments(["check"]).run();
    assert_eq!(output.code, 78, "{}", output.stderr);
    assert!(output.stderr.contains(".env: line 2 is not of the form NAME=value"), "{}", output.stderr);
    assert!(!output.stderr.contains("canary"), "{}", output.stderr);
    std::fs::write(folder.path().join(".env"), "HOST=h\nDATABASE_URL=postgresql://u:canary@h/d\0\n").unwrap();
    let output = etl("").folder(folder.path()).arguments(["check"]).run();
    assert_eq!(output.code, 78, "{}", output.stderr);
    assert!(output.stderr.contains(".env: line 2 has a NUL byte"), "{}", output.stderr);
    assert!(!output.stderr.contains("canary"), "{}", output.stderr);
}

#[test]
fn what_cannot_be_written_is_no_success() {
    let world = World::new();
    let script = "exec \"$0\" migrate >/dev/full";
    let output = Program::new("sh")
        .arguments(["-c", script, env!("CARGO_BIN_EXE_kasparro-etl")])
        .variable("DATABASE_URL", world.database.url())
        .run();
    assert_eq!(output.code, 74, "{}", output.stderr);
    assert!(output.stderr.contains("cannot write: "), "{}", output.stderr);
}

#[test]
fn a_wrong_setting_is_named_with_all_others() {
    let output = etl("")
        .variable("BATCH_SIZE", "many")
        .variable("DB_STATEMENT_CACHE", "maybe")
        .variable("KASPARRO_SOURCES", "coinbase")
        .variable("COINGECKO_BASE_URL", "gopher://x")
        .run();
    assert_eq!(output.code, 78);
    for name in ["BATCH_SIZE", "coinbase", "COINGECKO_BASE_URL", "DB_STATEMENT_CACHE"] {
        assert!(output.stderr.contains(name), "{name}: {}", output.stderr);
    }
    let output = etl("").run();
    assert_eq!(output.code, 78);
    assert!(output.stderr.contains("DATABASE_URL is not set"), "{}", output.stderr);
    assert_eq!(etl("").arguments(["run", "--no-such-flag"]).run().code, 64);
}

#[test]
fn a_value_that_is_no_text_and_a_key_of_two_lines_are_named() {
    use std::os::unix::ffi::OsStrExt as _;
    let world = World::new();
    let garbage = std::ffi::OsStr::from_bytes(b"canary\xff");
    for name in ["BATCH_SIZE", "CSV_FILE_PATH", "DB_READER", "COINGECKO_API_KEY", "DATABASE_URL"] {
        let output = world.etl().variable(name, garbage).arguments(["check"]).run();
        assert_eq!(output.code, 78, "{name}: {}", output.stderr);
        let said = format!("{name}: its value is not UTF-8");
        assert!(output.stderr.contains(&said) && !output.stderr.contains("canary"), "{}", output.stderr);
    }
    for name in ["COINPAPRIKA_API_KEY", "COINGECKO_API_KEY"] {
        let output = world.etl().variable(name, "canary\nkey").arguments(["check"]).run();
        assert_eq!(output.code, 78, "{name}: {}", output.stderr);
        let said = format!("{name}: a line end");
        assert!(output.stderr.contains(&said) && !output.stderr.contains("canary"), "{}", output.stderr);
    }
}

#[test]
fn a_list_without_a_source_is_refused_and_an_unknown_source_is_told_which_there_are() {
    let world = World::new();
    for (arguments, code, words) in [
        (["run", "--sources", ","], 78, "KASPARRO_SOURCES: \",\" names no source; there are coinpaprika, "),
        (["reprocess", "--source", "coinbase"], 64, "possible values: coinpaprika, coingecko, csv"),
        (["rejects", "--source", "coinbase"], 64, "possible values: coinpaprika, coingecko, csv"),
        (["rejects", "--code", "negative"], 64, "'negative_number'"),
        (["resolve", "--explain", "nope"], 64, "nope: no source has a coin of this id"),
        (["resolve", "--undo", "nope"], 64, "nope: no source has a coin of this id"),
    ] {
        let output = world.etl().arguments(arguments).run();
        assert_eq!(output.code, code, "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(words), "{arguments:?}: {}", output.stderr);
    }
}

#[test]
fn a_secret_may_come_from_a_file() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, format!("{}\n", world.database.url())).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let check = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        world.etl_at("").variable("DATABASE_URL_FILE", &file).arguments(["check"]).run()
    };
    let (open, closed) = (check(0o644), check(0o600));
    assert_eq!((open.code, closed.code), (0, 0), "{}{}", open.stderr, closed.stderr);
    let warning = "DATABASE_URL_FILE: every user of this machine can read";
    assert!(open.stderr.contains(warning) && !closed.stderr.contains(warning), "{}", open.stderr);
    let both = world.etl().variable("DATABASE_URL_FILE", &file).arguments(["check"]).run();
    assert_eq!(both.code, 78);
    assert!(both.stderr.contains("DATABASE_URL and DATABASE_URL_FILE are both set"), "{}", both.stderr);
}

#[test]
fn check_finds_what_a_run_would_end_with() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("links.csv");
    std::fs::write(&garbage, "verdict,source,crypto_id,other_source,other_id,note\nsame,coinpaprika,a\n")
        .unwrap();
    let role = Role::new(&world.database, "");
    let sql = format!(
        "grant usage on schema public to {0}; grant select on all tables in schema public to {0}",
        role.name
    );
    world.database.connect().batch_execute(&sql).unwrap();
    let missing = folder.path().join("none.csv");
    let none = std::path::PathBuf::new();
    let with = |url: &str, links| world.etl_at(url).variable("ASSET_LINKS_PATH", links);
    for (url, links, code, words) in [
        (world.database.url(), &missing, 66, "none.csv"),
        (world.database.url(), &garbage, 65, "links.csv line 2"),
        (role.url.as_str(), &none, 78, "permission denied"),
    ] {
        for command in ["check", "run"] {
            let output = with(url, links).arguments([command]).run();
            assert_eq!(output.code, code, "{command}: {words}: {}", output.stderr);
            assert!(output.stderr.contains(words), "{command}: {words}: {}", output.stderr);
            assert!(!output.stdout.contains("is good"), "{}", output.stdout);
        }
    }
    let both = with(&role.url, &missing).arguments(["check"]).run();
    assert!(both.stderr.contains("none.csv") && both.stderr.contains("permission denied"), "{}", both.stderr);
    assert_eq!((world.etl().arguments(["check"]).run().code, both.code), (0, 78));
}

#[test]
fn status_and_rejects_tell_what_happened() {
    let world = World::new();
    assert!(world.etl().arguments(["status"]).run().stdout.contains("no run yet"));
    assert!(world.etl().arguments(["rejects"]).run().stdout.contains("no record was refused"));
    world.simulator.serve_body(
        Route::CoinpaprikaTickers,
        r#"[{"id":"a","quotes":{"USD":{"price":-5}}},{"id":"b","quotes":{"USD":{"price":5}}}]"#,
    );
    world.run("coinpaprika");
    let status = world.etl().arguments(["status"]).run().stdout;
    assert!(status.contains("coinpaprika") && status.contains("2 records: 1 new, 1 rejected"), "{status}");
    let rejects = world.etl().arguments(["rejects"]).run().stdout;
    assert!(rejects.contains("negative_number") && rejects.contains("quotes.USD.price"), "{rejects}");
}

#[test]
fn status_says_how_each_run_ended() {
    let world = World::new();
    world.run("coinpaprika");
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::status(403)).always();
    world.etl().run();
    world.etl().arguments(["run", "--sources", "coinpaprika"]).run();
    world.simulator.clear_faults();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    let run = world.etl().spawn();
    assert!(world.simulator.wait_for_requests(Route::CoinpaprikaTickers, 4, Duration::from_secs(30)));
    run.signal(Signal::TERM);
    assert_eq!(run.wait(Duration::from_secs(30)).code, 143);
    let status = world.etl().arguments(["status"]).run().stdout;
    let (_, runs) = status.split_once("last runs\n").unwrap();
    let words = ["cancelled after", "FAILED after", "partial after", "success after"];
    assert_eq!(runs.lines().count(), words.len(), "{status}");
    for (line, word) in runs.lines().zip(words) {
        assert!(line.contains(word), "{word}: {status}");
    }
}

#[test]
fn listings_are_no_prices_in_status_and_cost_calls_in_check() {
    let world = World::new();
    let check =
        || world.etl().variable("LISTINGS_EVERY", "24h").arguments(["check", "--every", "1h"]).run().stdout;
    assert!(check().contains("and some for the listing of ids every 24 h"), "{}", check());
    world.etl().variable("LISTINGS_EVERY", "24h").run();
    let status = world.etl().arguments(["status"]).run().stdout;
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(line("coingecko_list").contains("listing of 40 ids and their addresses, read "), "{status}");
    assert!(line("assets").contains("which coins are one: changed "), "{status}");
    assert!(!status.contains("no observation yet"), "{status}");
    let calls = number(
        &mut world.database.connect(),
        "select (cursor ->> 'calls')::bigint from etl_checkpoints where source = 'coinpaprika_contracts'",
    );
    assert!(calls > 2, "{calls}");
    assert!(
        check().contains(&format!("and {calls} for the listing of ids every 24 h, {} per day", 24 + calls)),
        "{}",
        check()
    );
}

#[test]
fn nobody_reading_the_output_changes_nothing() {
    let world = World::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_kasparro-etl"))
        .env("DATABASE_URL", world.database.url())
        .env("COINPAPRIKA_BASE_URL", world.simulator.coinpaprika_base_url())
        .env("COINGECKO_BASE_URL", world.simulator.coingecko_base_url())
        .stdout(full.try_clone().unwrap())
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}
