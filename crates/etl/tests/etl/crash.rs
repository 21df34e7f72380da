//! Killed between any two statements, then run once more: the same tables as without the kill.

use std::time::Duration;

use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::Program;
use kasparro_testkit::proxy::PostgresProxy;
use kasparro_testkit::simulator::{Simulator, Universe};
use rustix::process::Signal;

use crate::support::{check_invariants, contents, etl};

/// More than any machine needs for one run.
const LONG: Duration = Duration::from_secs(60);

/// A source and what it reads.
struct Case {
    source: &'static str,
    simulator: Simulator,
    csv: tempfile::TempDir,
}

impl Case {
    fn new(source: &'static str) -> Self {
        let csv = tempfile::tempdir().unwrap();
        let rows: String = (0..25)
            .map(|n| format!("coin{},Coin,C,{n}.5,100,10,1.5,2026-01-{:02}T00:00:00Z\n", n % 5, 1 + n / 5))
            .chain(["bad,Bad,B,-1,1,1,1,2026-01-01T00:00:00Z\n".to_owned()])
            .collect();
        let head = "id,name,symbol,price_usd,market_cap_usd,volume_24h_usd,change_24h_percent,last_updated\n";
        std::fs::write(csv.path().join("prices.csv"), head.to_owned() + &rows).unwrap();
        Self { source, simulator: Simulator::start(Universe::new(3).coins(40)), csv }
    }

    fn etl(&self, database_url: &str) -> Program {
        etl(database_url)
            .variable("COINPAPRIKA_BASE_URL", self.simulator.coinpaprika_base_url())
            .variable("COINGECKO_BASE_URL", self.simulator.coingecko_base_url())
            .variable("CSV_FILE_PATH", self.csv.path().join("prices.csv"))
            .variable("BATCH_SIZE", "14")
            .variable("KASPARRO_SOURCES", self.source)
    }

    fn run_cleanly(&self, database: &TestDatabase) -> Vec<String> {
        let output = self.etl(database.url()).run();
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        let mut connection = database.connect();
        check_invariants(&mut connection);
        contents(&mut connection)
    }

    /// Kills at every statement in turn, in steps of `step`.
    fn sweep(&self) {
        let undisturbed = TestDatabase::new();
        let relay = PostgresProxy::start(undisturbed.url()).unwrap();
        let output = self.etl(&relay.url()).run();
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        let want = self.run_cleanly(&undisturbed);
        let statements = relay.statements();
        assert!(statements > 20, "{statements}");
        // Once more than the clean run, whose second pass counts its batches too.
        let want = without_batch_numbers(want);
        for n in 1..=statements {
            let database = TestDatabase::new();
            let relay = PostgresProxy::start(database.url()).unwrap();
            relay.hold_at(n);
            let killed = self.etl(&relay.url()).spawn();
            if relay.wait_held(LONG) {
                killed.signal(Signal::KILL);
            }
            killed.wait(LONG);
            drop(relay);
            let got = without_batch_numbers(self.run_cleanly(&database));
            assert_eq!(got, want, "{}: killed before statement {n} of {statements}", self.source);
        }
    }
}

/// How often a body was read again depends on when the kill came; what was read does not.
fn without_batch_numbers(contents: Vec<String>) -> Vec<String> {
    let counters = |line: &String| {
        line.starts_with("coin") && line.matches('|').count() == 4
            || line.starts_with("csv|") && line.matches('|').count() == 4
    };
    contents
        .into_iter()
        .map(|line| if counters(&line) { line.rsplit_once('|').unwrap().0.to_owned() } else { line })
        .collect()
}

#[test]
fn coinpaprika_killed_between_any_two_statements() {
    Case::new("coinpaprika").sweep();
}

#[test]
fn coingecko_killed_between_any_two_statements() {
    Case::new("coingecko").sweep();
}

#[test]
fn csv_killed_between_any_two_statements() {
    Case::new("csv").sweep();
}

#[test]
fn a_lost_confirmation_of_any_statement_loads_nothing_twice() {
    let case = Case::new("csv");
    let undisturbed = TestDatabase::new();
    let relay = PostgresProxy::start(undisturbed.url()).unwrap();
    assert_eq!(case.etl(&relay.url()).run().code, 0);
    let statements = relay.statements();
    let want = without_batch_numbers(case.run_cleanly(&undisturbed));
    for n in 1..=statements {
        let database = TestDatabase::new();
        let relay = PostgresProxy::start(database.url()).unwrap();
        relay.cut_after(n);
        let output = case.etl(&relay.url()).run();
        // The control connection may be the one that broke before there was a run; the next launch does it.
        assert!(
            matches!(output.code, 0 | 75),
            "statement {n}: {} {}{}",
            output.code,
            output.stdout,
            output.stderr
        );
        drop(relay);
        let got = without_batch_numbers(case.run_cleanly(&database));
        assert_eq!(got, want, "connection lost after statement {n} of {statements}");
    }
}
