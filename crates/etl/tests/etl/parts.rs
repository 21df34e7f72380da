//! A month that has its indexes and gets very many newer rows goes on in a partition of its own.

use std::fmt::Write;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::Program;
use kasparro_testkit::proxy::PostgresProxy;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{Role, check_invariants, contents, etl, newest_tally, number, texts};

const COINS: u32 = 600;
const LONG: Duration = Duration::from_secs(60);

/// Rows of all coins at each of these hours of March 2025.
fn rows(hours: std::ops::Range<u32>, price: &str) -> String {
    let mut text = String::new();
    for hour in hours {
        for coin in 0..COINS {
            let (day, hour) = (1 + hour / 24, hour % 24);
            writeln!(text, "coin{coin},{price},2025-03-{day:02}T{hour:02}:00:00Z,").unwrap();
        }
    }
    text
}

/// A few rows that are so long that by its size the file seems to have a quarter of a million more.
fn padding() -> String {
    let row = |n: u32| format!("long{n},1,2025-03-31T00:00:00Z,{}\n", "x".repeat(200_000));
    (0..60).map(row).collect()
}

struct Case {
    database: TestDatabase,
    folder: TempDir,
}

impl Case {
    /// With a month of 6,000 rows that has its indexes.
    fn new() -> Self {
        let case = Self { database: TestDatabase::new(), folder: tempfile::tempdir().unwrap() };
        fs::write(case.path(), "id,price,date,note\n".to_owned() + &rows(0..10, "1.5")).unwrap();
        case.load(case.database.url());
        assert_eq!(case.parts(), ["observations_csv_2025_03"]);
        case
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("prices.csv")
    }

    fn append(&self, text: &str) {
        OpenOptions::new().append(true).open(self.path()).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn program(&self, url: &str) -> Program {
        etl(url)
            .variable("KASPARRO_SOURCES", "csv")
            .variable("CSV_FILE_PATH", self.path())
            .variable("BATCH_SIZE", "6000")
    }

    fn load(&self, url: &str) {
        let output = self.program(url).run();
        assert_eq!(output.code, 0, "{}", output.stderr);
        check_invariants(&mut self.database.connect());
    }

    fn parts(&self) -> Vec<String> {
        let parts = "select inhrelid::regclass::text from pg_inherits where inhparent = 'observations'::regclass \
                      and inhrelid::regclass::text like '%2025_03%' order by 1";
        texts(&mut self.database.connect(), parts)
    }

    fn rows_of(&self, part: &str) -> i64 {
        number(&mut self.database.connect(), &format!("select count(*) from {part}"))
    }
}

#[test]
fn many_newer_rows_go_into_a_partition_of_their_own() {
    let case = Case::new();
    // Also for a role that makes no tables itself.
    let role = Role::new(&case.database, "");
    let output = etl(case.database.url()).arguments(["migrate", "--loader", &role.name]).run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    for (number, hours) in [10..20, 20..30].into_iter().enumerate() {
        let last = rows(hours.clone(), "2.5");
        // The same month goes on behind the padding only once.
        case.append(&if number == 0 {
            last.clone() + &padding()
        } else {
            rows(30 * 24..30 * 24 + 1, "3.5") + &last
        });
        case.load(&role.url);
    }
    assert_eq!(case.parts(), ["observations_csv_2025_03", "observations_csv_2025_03_1"]);
    // What is older than the open partition goes where it belongs, and is found there again.
    assert_eq!(case.rows_of("observations_csv_2025_03_1"), 6_000);
    fs::write(case.path(), "id,price,date,note\n".to_owned() + &rows(5..25, "9.5")).unwrap();
    case.load(&role.url);
    let tally = newest_tally(&mut case.database.connect(), "csv");
    assert_eq!((tally.restated, tally.loaded), (12_000, 0), "{tally:?}");
}

#[test]
fn few_rows_and_older_ones_do_not_split_a_month() {
    let case = Case::new();
    case.append(&rows(10..20, "2.5"));
    case.load(case.database.url());
    // Not newer than all that is there.
    case.append(&(rows(19..29, "2.5") + &padding()));
    case.load(case.database.url());
    assert_eq!(case.parts(), ["observations_csv_2025_03"]);
}

#[test]
fn a_dry_run_does_not_split_and_a_prune_removes_every_part() {
    let case = Case::new();
    case.append(&(rows(10..20, "2.5") + &padding()));
    let output = case.program(case.database.url()).arguments(["run", "--dry-run"]).run();
    assert_eq!((output.code, case.parts().len()), (0, 1), "{}", output.stderr);
    case.load(case.database.url());
    assert_eq!(case.parts().len(), 2);
    let output = etl(case.database.url()).arguments(["prune", "--older-than", "30d"]).run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let mut connection = case.database.connect();
    check_invariants(&mut connection);
    assert_eq!(number(&mut connection, "select count(*) from observations"), i64::from(COINS) + 60);
}

#[test]
fn a_load_that_was_killed_behind_a_split_is_finished_by_the_next_run() {
    for statement in
        ["split_observation_partition", "COPY \"observations_csv_2025_03\"", "build_observation_index"]
    {
        let case = Case::new();
        case.append(&(rows(10..20, "2.5") + &padding()));
        let relay = PostgresProxy::start(case.database.url()).unwrap();
        relay.hold_text(statement);
        let killed = case.program(&relay.url()).spawn();
        assert!(relay.wait_held(LONG), "{statement}");
        killed.signal(Signal::KILL);
        killed.wait(LONG);
        drop(relay);
        case.load(case.database.url());
        assert_eq!(case.parts().len(), 2, "{statement}");
        assert_eq!(number(&mut case.database.connect(), "select count(*) from observations"), 12_060);
    }
}

#[test]
fn a_month_is_one_again_without_the_migration_that_splits() {
    let case = Case::new();
    case.append(&(rows(10..20, "2.5") + &padding()));
    case.load(case.database.url());
    let mut connection = case.database.connect();
    let before = contents(&mut connection);
    let migrate = |connection: &mut PgConnection, sql: &str| {
        connection.transaction(|connection| connection.batch_execute(sql)).unwrap();
    };
    migrate(&mut connection, include_str!("../../../../migrations/2026-11-28-120000_parts/down.sql"));
    assert_eq!(case.parts(), ["observations_csv_2025_03"]);
    migrate(&mut connection, include_str!("../../../../migrations/2026-11-28-120000_parts/up.sql"));
    assert_eq!(contents(&mut connection), before);
    check_invariants(&mut connection);
}
