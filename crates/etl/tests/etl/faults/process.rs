//! What can happen to the process: the rows P.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kasparro_testkit::process::{Output, Signal};
use kasparro_testkit::proxy::{Direction, PostgresProxy, Toxic};
use kasparro_testkit::recordings::skipped;
use kasparro_testkit::simulator::{Fault, Route};

use crate::support::{World, check_invariants, etl, groups, number, records, texts};

const LONG: Duration = Duration::from_secs(120);

/// The end of a run that a signal came for, and a clean run after it.
#[track_caller]
fn assert_cancelled(world: &World, output: &Output, code: i32, phase: &str) {
    assert_eq!(output.code, code, "{phase}: {}{}", output.stdout, output.stderr);
    let mut connection = world.database.connect();
    world.simulator.clear_faults();
    world.simulator.release();
    let started = number(&mut connection, "select count(*) from etl_runs");
    world.run("coinpaprika,coingecko");
    let ended = texts(&mut connection, "select status from etl_runs order by run_id");
    assert_eq!(ended.len() as i64, started + 1, "{phase}");
    assert!(!ended.contains(&"running".to_owned()), "{phase}: {ended:?}");
    check_invariants(&mut connection);
}

#[test]
fn p1_a_signal_while_the_database_is_waited_for() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut run = etl("postgresql://someone@127.0.0.1:9/kasparro")
            .variable("ETL_DATABASE_WAIT_SECONDS", "600")
            .spawn();
        run.wait_for_line(LONG, "trying again");
        run.signal(signal);
        let output = run.wait(LONG);
        assert_eq!(output.code, code, "{}", output.stderr);
    }
}

#[test]
fn p1_a_signal_in_the_middle_of_a_transaction() {
    for words in ["FOR UPDATE", "\"raw_api_data\"", "COPY", "COMMIT"] {
        let world = World::new();
        let relay = PostgresProxy::start(world.database.url()).unwrap();
        world.simulator.fault(Route::Any, Fault::hold()).once();
        let run = world.etl_at(&relay.url()).spawn();
        assert!(world.simulator.wait_for_requests(Route::Any, 2, LONG));
        relay.hold_text(words);
        world.simulator.release();
        assert!(relay.wait_held(LONG), "{words}");
        run.signal(Signal::TERM);
        // It ends although the statement never does.
        let output = run.wait(LONG);
        drop(relay);
        assert_cancelled(&world, &output, 143, words);
        // Until the server has answered to a commit, nobody can say what came of it: the next run does.
        let want = if words == "COMMIT" { "abandoned" } else { "cancelled" };
        let status = "select status from etl_runs order by run_id limit 1";
        assert_eq!(texts(&mut world.database.connect(), status), [want], "{words}");
    }
}

#[test]
fn p1_a_signal_between_two_attempts() {
    let world = World::new();
    world.simulator.fault(Route::CoingeckoMarkets, Fault::status(429).retry_after_secs(100)).always();
    let mut run = world.etl().spawn();
    run.wait_for_line(LONG, "trying again in 100");
    run.signal(Signal::INT);
    assert_cancelled(&world, &run.wait(LONG), 130, "backoff");
}

#[test]
fn p1_a_signal_while_the_call_rate_is_kept() {
    let world = World::with(kasparro_testkit::simulator::Universe::new(5).coins(600));
    let run = world.etl().variable("COINGECKO_CALLS_PER_MINUTE", "1").spawn();
    assert!(world.simulator.wait_for_requests(Route::CoingeckoMarkets, 1, LONG));
    let mut connection = world.database.connect();
    while number(&mut connection, "select count(*) from etl_batches where source = 'coingecko'") == 0 {
        std::thread::yield_now();
    }
    run.signal(Signal::TERM);
    assert_cancelled(&world, &run.wait(LONG), 143, "pace");
}

#[test]
fn p1_a_signal_while_the_database_says_nothing_at_all() {
    let world = World::new();
    let relay = PostgresProxy::start(world.database.url()).unwrap();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    let run = world.etl_at(&relay.url()).arguments(["run", "--sources", "coinpaprika"]).spawn();
    assert!(world.simulator.wait_for_requests(Route::CoinpaprikaTickers, 1, LONG));
    relay.link().poison(Direction::Downstream, Toxic::Silence);
    run.signal(Signal::TERM);
    let output = run.wait(LONG);
    drop(relay);
    // Nobody could be told: the next run marks it.
    assert_cancelled(&world, &output, 143, "silence");
}

#[test]
fn p1_a_second_signal_ends_at_once() {
    let world = World::new();
    let relay = PostgresProxy::start(world.database.url()).unwrap();
    relay.hold_text("COPY");
    let mut run = world.etl_at(&relay.url()).spawn();
    assert!(relay.wait_held(LONG));
    run.signal(Signal::TERM);
    run.wait_for_line(LONG, "once more to end at once");
    run.signal(Signal::INT);
    let output = run.wait(LONG);
    drop(relay);
    assert_cancelled(&world, &output, 130, "second signal");
}

#[test]
fn p3_a_process_that_gets_no_memory_is_as_good_as_killed() {
    let undisturbed = World::new();
    undisturbed.run("coinpaprika,coingecko");
    let mut connection = undisturbed.database.connect();
    let (want, together) = (records(&mut connection), groups(&mut connection));
    let program = env!("CARGO_BIN_EXE_kasparro-etl");
    let mut failed = 0;
    for kib in [20_000, 60_000, 100_000, 140_000, 180_000, 260_000, 400_000, 600_000] {
        let world = World::new();
        let limited = format!("ulimit -v {kib}; exec {program}");
        let output = world.etl_as("sh").arguments(["-c", &limited]).run();
        failed += i32::from(output.code != 0);
        world.run("coinpaprika,coingecko");
        let mut connection = world.database.connect();
        check_invariants(&mut connection);
        assert_eq!(
            without_counts_of_batches(records(&mut connection)),
            without_counts_of_batches(want.clone()),
            "{kib} KiB"
        );
        // Where the memory was enough for one source alone, that one has given the names.
        assert_eq!(groups(&mut connection), together, "{kib} KiB");
    }
    assert!(failed > 0, "no limit was low enough to show anything");
}

/// How often a body was read again depends on when the end came.
fn without_counts_of_batches(records: Vec<String>) -> Vec<String> {
    crate::crash::without_batch_numbers(records)
}

/// A program of the system, unless it is not there.
pub(super) fn tool(test: &str, name: &str, arguments: &[&str]) -> bool {
    let works = Command::new(name)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        skipped(test, &format!("{name} does not work here"));
    }
    works
}

#[test]
fn p6_d18_the_clock_of_the_program_decides_nothing() {
    if !tool("p6_d18_the_clock_of_the_program_decides_nothing", "faketime", &["-f", "+1d", "true"]) {
        return;
    }
    let program = env!("CARGO_BIN_EXE_kasparro-etl");
    let world = World::new();
    let mut connection = world.database.connect();
    // Forwards, backwards, through the end of summer time and a leap second.
    for (offset, zone) in [
        ("+1d", "UTC"),
        ("-1d", "UTC"),
        ("-400d", "America/New_York"),
        ("@2026-10-25 02:59:59", "Europe/Berlin"),
        ("@2016-12-31 23:59:59", "UTC"),
    ] {
        let output = world
            .etl_as("faketime")
            .variable("TZ", zone)
            .arguments(["-f", offset, program, "run", "--sources", "coinpaprika,coingecko"])
            .run();
        assert_eq!(output.code, 0, "{offset}: {}{}", output.stdout, output.stderr);
        // The trigger that watches the checkpoints is the one that would say that they went back.
        check_invariants(&mut connection);
        let wrong = "select count(*) from etl_runs where abs(extract(epoch from now() - started_at)) > 3600";
        assert_eq!(number(&mut connection, wrong), 0, "{offset}: times are those of the database");
        let wrong =
            "select count(*) from raw_api_data where abs(extract(epoch from now() - fetched_at)) > 3600";
        assert_eq!(number(&mut connection, wrong), 0, "{offset}: times are those of the database");
        world.simulator.advance();
    }
    // A lease is one of the database's time: a holder whose clock is a day ahead is not overtaken.
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    let asked = world.simulator.requests_to(Route::CoinpaprikaTickers).len();
    let ahead = ["-f", "+1d", program, "run", "--sources", "coinpaprika"];
    let holder = world.etl_as("faketime").arguments(ahead).spawn();
    assert!(world.simulator.wait_for_requests(Route::CoinpaprikaTickers, asked + 1, LONG));
    let other = world.etl().arguments(["run", "--sources", "coinpaprika"]).run();
    assert!(other.stdout.contains("another run is at it"), "{}", other.stdout);
    world.simulator.release();
    assert_eq!(holder.wait(LONG).code, 0);
    check_invariants(&mut connection);
}

#[test]
fn p7_nobody_who_reads_changes_nothing() {
    let world = World::new();
    world.run("coinpaprika,coingecko");
    let commands: [&[&str]; 9] = [
        &["run"],
        &["run", "--json"],
        &["status"],
        &["status", "--json"],
        &["rejects"],
        &["check"],
        &["migrate"],
        &["reprocess"],
        &["--help"],
    ];
    for arguments in commands {
        let want = world.etl().arguments(arguments).run().code;
        // What a run loaded is loaded, whoever reads of it; the others have nothing but their report.
        let is_report = matches!(arguments[0], "status" | "rejects" | "check" | "migrate");
        let want_full = if is_report { 74 } else { want };
        // `sh` closes what it redirects to nowhere; `head` leaves without having read.
        for (wiring, want) in [
            ("\"$@\" >/dev/full 2>/dev/full", want_full),
            ("\"$@\" >&- 2>&-", want),
            ("(\"$@\"; exit $?) 2>&1 | head -c 0; exit ${PIPESTATUS[0]}", want),
        ] {
            let output = world
                .etl_as("bash")
                .arguments(["-c", wiring, "bash", env!("CARGO_BIN_EXE_kasparro-etl")])
                .arguments(arguments)
                .run();
            assert_eq!(output.code, want, "{arguments:?} with {wiring}: {}", output.stderr);
        }
    }
    check_invariants(&mut world.database.connect());
}

#[test]
fn p8_sixteen_descriptors_are_enough() {
    let world = World::new();
    let limited = format!("ulimit -n 16; exec {}", env!("CARGO_BIN_EXE_kasparro-etl"));
    let output = world.etl_as("sh").arguments(["-c", &limited]).run();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert_eq!(world.tally("coingecko").loaded, 40);
    check_invariants(&mut world.database.connect());
}

#[test]
fn p8_too_few_descriptors_are_told() {
    for limit in [4, 6, 8, 10] {
        let world = World::new();
        let limited = format!("ulimit -n {limit}; exec {}", env!("CARGO_BIN_EXE_kasparro-etl"));
        let output =
            world.etl_as("sh").variable("ETL_DATABASE_WAIT_SECONDS", "0.2").arguments(["-c", &limited]).run();
        assert!(matches!(output.code, 0 | 69 | 74 | 75), "{limit}: {} {}", output.code, output.stderr);
        assert!(!output.stderr.contains("panicked"), "{limit}: {}", output.stderr);
        world.run("coinpaprika,coingecko");
        check_invariants(&mut world.database.connect());
    }
}

#[test]
fn p8_no_home_no_environment_and_nowhere_to_write() {
    let world = World::new();
    let output = world.etl().without("HOME").without("PATH").without("TMPDIR").run();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let sandbox = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"];
    if !tool("p8_no_home_no_environment_and_nowhere_to_write", "bwrap", &[&sandbox[..], &["true"]].concat()) {
        return;
    }
    world.simulator.advance();
    let output = world
        .etl_as("bwrap")
        .arguments(sandbox)
        .arguments(["sh", "-c", "touch /tmp/x 2>/dev/null && exit 99; exec \"$0\""])
        .arguments([env!("CARGO_BIN_EXE_kasparro-etl")])
        .run();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let output = world
        .etl_as("bwrap")
        .arguments(sandbox)
        .arguments([env!("CARGO_BIN_EXE_kasparro-etl"), "run", "--record", "/tmp/nowhere-to-write"])
        .run();
    assert!(matches!(output.code, 74 | 78), "{}: {}", output.code, output.stderr);
    assert!(output.stderr.contains("/tmp/nowhere-to-write"), "{}", output.stderr);
    check_invariants(&mut world.database.connect());
}

/// Every variable of the program, with values that are none.
const GARBAGE: [(&str, &str); 23] = [
    ("LOG_FORMAT", "xml"),
    ("KASPARRO_SOURCES", "coinbase"),
    ("CSV_AS_OF", "yesterday"),
    ("BATCH_SIZE", "0"),
    ("RATE_LIMIT_CALLS_PER_MINUTE", "-1"),
    ("COINPAPRIKA_CALLS_PER_MINUTE", "1.5"),
    ("COINGECKO_CALLS_PER_MINUTE", "often"),
    ("COINPAPRIKA_MONTHLY_CALLS", "99999999999"),
    ("COINGECKO_MONTHLY_CALLS", "1e3"),
    ("ETL_RETRY_ATTEMPTS", "0"),
    ("ETL_RETRY_DELAY_SECONDS", "NaN"),
    ("ETL_CALL_TIMEOUT_SECONDS", "inf"),
    ("ETL_REQUEST_DEADLINE_SECONDS", "-5"),
    ("ETL_SOURCE_DEADLINE_SECONDS", "1h"),
    ("ETL_MAX_BODY_MIB", "4096"),
    ("ETL_MAX_REJECT_RATE", "50%"),
    ("ETL_EMPTY_LIST", "maybe"),
    ("ETL_LEASE_SECONDS", "0"),
    ("ETL_DATABASE_WAIT_SECONDS", "86401"),
    ("COINPAPRIKA_BASE_URL", "ftp://example.org"),
    ("COINGECKO_BASE_URL", "example.org"),
    ("COINGECKO_MAX_PAGES", "all"),
    ("COINPAPRIKA_API_KEY_FILE", "/no/such/file"),
];

#[test]
fn p9_every_variable_may_be_empty_and_no_garbage_is_swallowed() {
    let world = World::new();
    for (name, garbage) in GARBAGE {
        let output = world.etl().variable(name, garbage).arguments(["check"]).run();
        assert_eq!(output.code, 78, "{name}={garbage}: {}", output.stderr);
        assert!(output.stderr.contains(name.trim_end_matches("_FILE")), "{name}: {}", output.stderr);
        assert_eq!(output.stderr.lines().count(), 1, "{name}: {}", output.stderr);
        let empty = if name.ends_with("BASE_URL") { " " } else { "" };
        let output = world.etl().variable(name, empty).arguments(["check"]).run();
        assert_eq!(output.code, 0, "{name} is empty: {}", output.stderr);
    }
}

#[test]
fn p9_all_problems_are_listed_at_once_contradictions_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "x").unwrap();
    let mut program = etl("").variable("CSV_FILE_PATH", "").variable("COINGECKO_API_KEY", "canary-key");
    for (name, garbage) in GARBAGE {
        program = program.variable(name, garbage);
    }
    let output =
        program.variable("COINGECKO_API_KEY_FILE", &file).variable("KASPARRO_SOURCES", "csv,coinbase").run();
    assert_eq!(output.code, 78, "{}", output.stderr);
    for (name, _) in GARBAGE {
        assert!(output.stderr.contains(name), "{name}: {}", output.stderr);
    }
    for words in ["COINGECKO_API_KEY and COINGECKO_API_KEY_FILE are both set", "CSV_FILE_PATH", "coinbase"] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }
    assert!(!output.stderr.contains("canary"), "{}", output.stderr);
}

#[test]
fn p9_a_secret_file_that_is_none_is_refused_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long");
    std::fs::write(&long, vec![b'x'; 5000]).unwrap();
    let binary = folder.path().join("binary");
    std::fs::write(&binary, b"canary\xff\xfe").unwrap();
    for path in [Path::new("/no/such/file"), folder.path(), &long, &binary, Path::new("/dev/zero")] {
        let output = etl("").variable("DATABASE_URL_FILE", path).arguments(["check"]).run();
        assert_eq!(output.code, 78, "{}: {}", path.display(), output.stderr);
        assert!(output.stderr.contains("DATABASE_URL_FILE"), "{}", output.stderr);
    }
}
