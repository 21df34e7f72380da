//! A role of the database that loads and can do no more.

use std::fs;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use kasparro_testkit::process::Output;

use crate::support::{Role, World, check_invariants, number};

fn migrate(world: &World, arguments: &[&str]) -> Output {
    world.etl().arguments(["migrate"]).arguments(arguments).run()
}

/// So many coins at so many times of one month.
fn file(folder: &Path, coins: usize, price: &str) -> String {
    let path = folder.join("prices.csv");
    let mut text = "id,name,price_usd,date\n".to_owned();
    for day in 1..=3 {
        for coin in 0..coins {
            text.push_str(&format!("coin-{coin},Coin {coin},{price},2020-01-0{day}T00:00:00Z\n"));
        }
    }
    text.push_str("broken,Broken,none of your business,2020-01-01T00:00:00Z\n");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_role_that_loads_needs_no_rights_to_remove_what_was_loaded_or_to_make_tables() {
    let world = World::new();
    let role = Role::new(&world.database, "");
    let output = migrate(&world, &["--loader", &role.name]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains(&format!("the role {} loads the tables", role.name)), "{}", output.stdout);

    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), 2_000, "1.5");
    let run = |arguments: &[&str]| {
        let program =
            world.etl_at(&role.url).variable("CSV_FILE_PATH", &path).variable("LISTINGS_EVERY", "1s");
        let output = program.arguments(arguments).run();
        assert_eq!(output.code, 0, "{arguments:?}: {}{}", output.stdout, output.stderr);
        output.stdout
    };
    let all = ["run", "--sources", "coinpaprika,coingecko,csv"];
    // A month that is loaded in bulk, months that are not, the listings of the vendors, identity.
    run(&all);
    let mut owner = world.database.connect();
    assert_eq!(
        number(&mut owner, "select count(*) from observation_partitions where not indexed or not counted"),
        0
    );
    // Corrections, refused records that are settled, links that were there.
    file(folder.path(), 1_000, "1.25");
    run(&all);
    assert_eq!(number(&mut owner, "select count(*) from observation_revisions"), 3_000);
    for command in ["reprocess", "resolve", "status", "rejects", "check"] {
        run(&[command]);
    }
    run(&["reprocess", "--rejects-only"]);
    check_invariants(&mut owner);

    let mut session = PgConnection::establish(&role.url).unwrap();
    for sql in [
        "delete from observations",
        "delete from observation_revisions",
        "delete from raw_csv_data",
        "delete from raw_api_data",
        "delete from etl_batches",
        "delete from coins",
        "truncate rejects",
        "truncate observations_csv_2020_01",
        "drop table rejects",
        "alter table observations add column mine integer",
        "create table mine ()",
        "create index on coins (coin_id)",
        "update __diesel_schema_migrations set version = '1'",
        "select prune_observation_partition(1::smallint, '2020-01-01')",
        "copy coins to program 'true'",
    ] {
        let error = session.batch_execute(sql).expect_err(sql).to_string();
        let denied = ["permission denied", "must be owner", "must be superuser"];
        assert!(denied.iter().any(|words| error.contains(words)), "{sql}: {error}");
    }
    let prune = world.etl_at(&role.url).arguments(["prune", "--older-than", "1500d"]).run();
    assert_eq!(prune.code, 78, "{}", prune.stderr);
    assert!(prune.stderr.contains("permission denied"), "{}", prune.stderr);
    check_invariants(&mut owner);
}

/// Who may only read may not make partitions either, although those are made with the rights of the owner.
#[test]
fn only_whom_the_owner_lets_may_make_partitions() {
    let world = World::new();
    let role = Role::new(&world.database, "");
    assert_eq!(migrate(&world, &["--reader", &role.name]).code, 0);
    let mut session = PgConnection::establish(&role.url).unwrap();
    session.batch_execute("set default_transaction_read_only = off").unwrap();
    for function in [
        "ensure_observation_partition(1::smallint, '2031-01-01')",
        "build_observation_index(1::smallint, '2031-01-01')",
        "split_observation_partition(1::smallint, '2031-01-01', now())",
    ] {
        let error = session.batch_execute(&format!("select {function}")).unwrap_err().to_string();
        assert!(error.contains("permission denied for function"), "{function}: {error}");
    }
}

#[test]
fn what_a_role_had_for_another_purpose_is_taken_from_it() {
    let world = World::new();
    let role = Role::new(&world.database, "");
    let load = || world.etl_at(&role.url).arguments(["run", "--sources", "coinpaprika"]).run();
    for (option, code) in [("--reader", 75), ("--loader", 0), ("--reader", 75)] {
        let output = migrate(&world, &[option, &role.name]);
        assert_eq!(output.code, 0, "{option}: {}", output.stderr);
        let output = load();
        assert_eq!(output.code, code, "{option}: {}", output.stderr);
        assert_eq!(code == 75, output.stderr.contains("connect as one that loads"), "{}", output.stderr);
    }
    // Of what is made later as well.
    let mut owner = world.database.connect();
    owner.batch_execute("create table of_a_later_migration (one serial)").unwrap();
    let mut session = PgConnection::establish(&role.url).unwrap();
    session
        .batch_execute("set default_transaction_read_only = off; select * from of_a_later_migration")
        .unwrap();
    for sql in [
        "insert into of_a_later_migration values (1)",
        "select nextval('of_a_later_migration_one_seq')",
        "select index_observation_partition(1::smallint, '2031-01-01')",
    ] {
        let error = session.batch_execute(sql).expect_err(sql).to_string();
        assert!(error.contains("permission denied"), "{sql}: {error}");
    }
}

#[test]
fn a_role_that_cannot_be_a_loader_is_refused() {
    let world = World::new();
    let twice = migrate(&world, &["--loader", "one", "--reader", "one"]);
    assert_eq!(twice.code, 78);
    assert!(twice.stderr.contains("name the same role"), "{}", twice.stderr);
    let missing = migrate(&world, &["--loader", "nobody"]);
    assert_eq!(missing.code, 78);
    assert!(missing.stderr.contains("DB_LOADER: there is no role nobody"), "{}", missing.stderr);
    let owner = migrate(&world, &["--loader", "postgres"]);
    assert_eq!(owner.code, 78);
    assert!(owner.stderr.contains("owns the tables or is a superuser"), "{}", owner.stderr);
}
