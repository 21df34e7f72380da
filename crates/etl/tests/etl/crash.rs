//! Killed at any point, then run once more: the same tables as without the kill.
//!
//! The relay to Postgres stops the program at a statement, before the server has it or before its answer, and there it
//! is killed: each point that a crash can come at as far as the database can tell. A quick form of each sweep runs
//! always; the whole of them, on larger runs, is `make test-chaos`.

use std::time::Duration;

use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::{Program, Running, Signal};
use kasparro_testkit::proxy::{Direction, PostgresProxy, Toxic};
use kasparro_testkit::simulator::{Simulator, Universe};

use crate::support::{check_invariants, contents, etl, watch_checkpoints};

/// More than any machine needs for one run.
const LONG: Duration = Duration::from_secs(120);

/// Sources and what they read.
pub(crate) struct Case {
    sources: &'static str,
    simulator: Simulator,
    csv: tempfile::TempDir,
}

/// On which side of a statement the program is killed.
#[derive(Clone, Copy, Debug)]
enum Side {
    /// The server never gets it.
    Before,
    /// The server does what it says, and nobody hears of it.
    After,
}

impl Case {
    /// Runs of one batch, or of two in the case of the file.
    pub(crate) fn new(sources: &'static str) -> Self {
        Self::of(sources, 40, 25)
    }

    /// Several batches of every source, and months that have to be made.
    fn large() -> Self {
        Self::of("coinpaprika,coingecko,csv", 600, 90)
    }

    fn of(sources: &'static str, coins: usize, rows: usize) -> Self {
        let csv = tempfile::tempdir().unwrap();
        let rows: String = (0..rows)
            .map(|n| {
                format!(
                    "coin{},Coin,C,{n}.5,100,10,1.5,2026-{:02}-{:02}T00:00:00Z\n",
                    n % 5,
                    1 + n / 60,
                    1 + n / 5 % 28
                )
            })
            .chain(["bad,Bad,B,-1,1,1,1,2026-01-01T00:00:00Z\n".to_owned()])
            .collect();
        let head = "id,name,symbol,price_usd,market_cap_usd,volume_24h_usd,change_24h_percent,last_updated\n";
        std::fs::write(csv.path().join("prices.csv"), head.to_owned() + &rows).unwrap();
        Self { sources, simulator: Simulator::start(Universe::new(3).coins(coins)), csv }
    }

    pub(crate) fn etl(&self, database_url: &str) -> Program {
        etl(database_url)
            .variable("COINPAPRIKA_BASE_URL", self.simulator.coinpaprika_base_url())
            .variable("COINGECKO_BASE_URL", self.simulator.coingecko_base_url())
            .variable("CSV_FILE_PATH", self.csv.path().join("prices.csv"))
            .variable("BATCH_SIZE", "14")
            .variable("KASPARRO_SOURCES", self.sources)
    }

    fn run_cleanly(&self, database: &TestDatabase) -> Vec<String> {
        let output = self.etl(database.url()).run();
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        let mut connection = database.connect();
        check_invariants(&mut connection);
        without_batch_numbers(contents(&mut connection))
    }

    /// An undisturbed run over a relay: what it leaves behind, and the relay, which has counted.
    fn undisturbed(&self) -> (Vec<String>, PostgresProxy) {
        let database = TestDatabase::new();
        let relay = PostgresProxy::start(database.url()).unwrap();
        let output = self.etl(&relay.url()).run();
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        let mut connection = database.connect();
        check_invariants(&mut connection);
        (without_batch_numbers(contents(&mut connection)), relay)
    }

    /// Kills at every `step`-th statement from the `first`, on both sides of it in turn.
    fn sweep(&self, first: u64, step: usize, sides: &[Side]) {
        let (want, relay) = self.undisturbed();
        let statements = relay.statements();
        assert!(statements > 20, "{statements}");
        for (n, turn) in (first..=statements).step_by(step).zip(0..) {
            let turns = if step == 1 { sides } else { &sides[turn % sides.len()..][..1] };
            for side in turns {
                self.kill_at(n, *side, &want);
            }
        }
    }

    fn kill_at(&self, n: u64, side: Side, want: &[String]) {
        let database = TestDatabase::new();
        watch_checkpoints(&mut database.connect());
        let relay = PostgresProxy::start(database.url()).unwrap();
        match side {
            Side::Before => relay.hold_at(n),
            Side::After => relay.hold_after(n),
        }
        let killed = self.etl(&relay.url()).spawn();
        let killed = wait_held_or_ended(&relay, killed);
        killed.signal(Signal::KILL);
        killed.wait(LONG);
        drop(relay);
        let got = self.run_cleanly(&database);
        assert_eq!(got, want, "{}: killed {side:?} statement {n}", self.sources);
    }

    /// Breaks every connection once, at a byte of what the server says.
    fn cut_at(&self, byte: u64, want: &[String]) {
        let database = TestDatabase::new();
        watch_checkpoints(&mut database.connect());
        let relay = PostgresProxy::start(database.url()).unwrap();
        relay.link().poison(Direction::Downstream, Toxic::CutAfter(byte));
        let output = self.etl(&relay.url()).run();
        // The control connection may be the one that broke before there was a run; the next launch does it.
        assert!(
            matches!(output.code, 0 | 75),
            "byte {byte}: {} {}{}",
            output.code,
            output.stdout,
            output.stderr
        );
        drop(relay);
        assert_eq!(self.run_cleanly(&database), want, "{}: cut after byte {byte}", self.sources);
    }
}

/// Waits until a statement is held, or the run is over before it came to that many.
fn wait_held_or_ended(relay: &PostgresProxy, mut run: Running) -> Running {
    while !relay.wait_held(Duration::from_millis(20)) && !run.has_ended() {}
    run
}

/// How often a body was read again depends on when the kill came; what was read does not.
pub(crate) fn without_batch_numbers(contents: Vec<String>) -> Vec<String> {
    let counters = |line: &String| {
        line.starts_with("coin") && line.matches('|').count() == 4
            || line.starts_with("csv|") && line.matches('|').count() == 4
    };
    contents
        .into_iter()
        .map(|line| if counters(&line) { line.rsplit_once('|').unwrap().0.to_owned() } else { line })
        .collect()
}

const BOTH: [Side; 2] = [Side::Before, Side::After];

#[test]
fn p2_coinpaprika_killed_between_statements() {
    Case::new("coinpaprika").sweep(1, 5, &BOTH);
}

#[test]
fn p2_coingecko_killed_between_statements() {
    Case::new("coingecko").sweep(2, 5, &BOTH);
}

#[test]
fn p2_csv_killed_between_statements() {
    Case::new("csv").sweep(3, 5, &BOTH);
}

#[test]
#[ignore = "minutes: make test-chaos"]
fn p2_every_source_killed_between_any_two_statements() {
    for source in ["coinpaprika", "coingecko", "csv"] {
        Case::new(source).sweep(1, 1, &BOTH);
    }
}

#[test]
#[ignore = "minutes: make test-chaos"]
fn p2_a_larger_run_killed_between_statements() {
    Case::large().sweep(1, 4, &BOTH);
}

#[test]
fn d4_a_lost_confirmation_of_a_statement_loads_nothing_twice() {
    cut_after_statements(11);
}

#[test]
#[ignore = "minutes: make test-chaos"]
fn d4_a_lost_confirmation_of_any_statement_loads_nothing_twice() {
    cut_after_statements(1);
}

fn cut_after_statements(step: usize) {
    let case = Case::new("csv");
    let (want, relay) = case.undisturbed();
    let statements = relay.statements();
    for n in (1..=statements).step_by(step) {
        let database = TestDatabase::new();
        let relay = PostgresProxy::start(database.url()).unwrap();
        relay.cut_after(n);
        let output = case.etl(&relay.url()).run();
        assert!(
            matches!(output.code, 0 | 75),
            "statement {n}: {} {}{}",
            output.code,
            output.stdout,
            output.stderr
        );
        drop(relay);
        assert_eq!(case.run_cleanly(&database), want, "connection lost after statement {n} of {statements}");
    }
}

#[test]
fn d4_the_stream_of_the_server_is_cut_at_some_bytes() {
    cut_stream(12);
}

#[test]
#[ignore = "minutes: make test-chaos"]
fn d4_the_stream_of_the_server_is_cut_all_along() {
    cut_stream(200);
}

/// Cuts at so many bytes, evenly spread over all that the server says.
fn cut_stream(cuts: u64) {
    let case = Case::new("csv");
    let (want, relay) = case.undisturbed();
    let bytes = relay.link().passed(Direction::Downstream);
    for cut in 0..cuts {
        // Not a multiple of anything: messages are met at their ends, their beginnings and within.
        case.cut_at(bytes * cut / cuts + cut % 7, &want);
    }
}

/// Kills a run at a moment that a number decides, again and again, and then lets one end.
#[test]
#[ignore = "minutes: make test-chaos"]
fn p2_killed_at_random_moments() {
    let case = Case::large();
    let (want, _) = case.undisturbed();
    let started = std::time::Instant::now();
    case.undisturbed();
    let whole = started.elapsed();
    for seed in 0..25_u32 {
        let database = TestDatabase::new();
        watch_checkpoints(&mut database.connect());
        for kill in 0..3_u32 {
            // The golden ratio spreads them evenly.
            let share = (f64::from(seed * 3 + kill) * 0.618_033_988_75).fract();
            let run = case.etl(database.url()).spawn();
            std::thread::sleep(whole.mul_f64(share));
            run.signal(Signal::KILL);
            run.wait(LONG);
        }
        assert_eq!(case.run_cleanly(&database), want, "seed {seed}");
    }
}

/// The service reads while runs are killed (invariant I9): batches appear whole, and it never fails.
#[test]
fn p2_whoever_reads_meanwhile_sees_whole_batches() {
    read_while_killing(11);
}

#[test]
#[ignore = "minutes: make test-chaos"]
fn p2_whoever_reads_meanwhile_sees_whole_batches_at_every_statement() {
    read_while_killing(1);
}

fn read_while_killing(step: usize) {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let case = Case::new("csv");
    let (want, relay) = case.undisturbed();
    let statements = relay.statements();
    let database = TestDatabase::new();
    let mut service = Program::new(kasparro_testkit::process::workspace_binary("kasparro-api"))
        .variable("DATABASE_URL", database.url())
        .variable("HOST", "127.0.0.1")
        .variable("PORT", "0")
        .spawn();
    let address = service.wait_for(LONG, |line| {
        let (_, rest) = line.split_once("serving http://")?;
        Some(rest.split(['/', '"', ' ']).next()?.to_owned())
    });
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            while !stop.load(Ordering::Relaxed) {
                let mut answer = agent.get(format!("http://{address}/data?limit=100")).call().unwrap();
                let body = answer.body_mut().read_to_string().unwrap();
                assert!(matches!(answer.status().as_u16(), 200 | 503), "{}: {body}", answer.status());
                if answer.status() == 200 {
                    let page: serde_json::Value = serde_json::from_str(&body).unwrap();
                    let rows = page["data"].as_array().unwrap().len();
                    // The batches of the file: 14 rows, and 11 with one that is refused.
                    assert!(
                        [0, 14, 25].contains(&rows) && page["total"] == rows,
                        "half a batch: {rows} {}",
                        page["total"]
                    );
                }
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        for n in (1..=statements).step_by(step) {
            let relay = PostgresProxy::start(database.url()).unwrap();
            relay.hold_at(n);
            let killed = wait_held_or_ended(&relay, case.etl(&relay.url()).spawn());
            let before = asked.load(Ordering::Relaxed);
            while asked.load(Ordering::Relaxed) < before + 2 && !reader.is_finished() {
                std::thread::yield_now();
            }
            killed.signal(Signal::KILL);
            killed.wait(LONG);
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(service);
    assert_eq!(case.run_cleanly(&database), want);
}
