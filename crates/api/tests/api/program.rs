//! The program itself: settings, exit codes, signals.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::{Program, Signal, run_binary};

use crate::support::raw_request;

const BINARY: &str = env!("CARGO_BIN_EXE_kasparro-api");
const NOWHERE: &str = "postgres://someone:canary-password@127.0.0.1:1/nothing";

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let output = run_binary(Path::new(BINARY), arguments, variables);
    (output.code, output.stdout + &output.stderr)
}

#[test]
fn a_taken_port_is_said_in_one_line() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, said) = run(&[], &[("PORT", &port), ("DATABASE_URL", NOWHERE)]);
    assert_eq!(code, 74);
    assert_eq!(
        said.trim_end(),
        format!("kasparro-api: port {port} is taken by another program: stop it, or choose another PORT")
    );
}

#[test]
fn settings_are_checked_before_anything_is_served() {
    assert_eq!(run(&["--port", "0"], &[]), (78, "kasparro-api: DATABASE_URL is not set\n".to_owned()));
    let both = [("DATABASE_URL", NOWHERE), ("DATABASE_URL_FILE", "/x")];
    let (code, said) = run(&["--port", "0"], &both);
    assert_eq!(code, 78);
    assert!(
        said.contains("DATABASE_URL and DATABASE_URL_FILE are both set") && !said.contains("canary"),
        "{said}"
    );
    for wrong in [&["--port", "x"][..], &["--nothing"], &["--pool-size", "0"]] {
        assert_eq!(run(wrong, &[]).0, 64, "{wrong:?}");
    }
    let (code, said) = run(&["--help"], &[("DATABASE_URL", NOWHERE)]);
    assert!(code == 0 && said.contains("DATABASE_URL") && !said.contains("canary"), "{said}");
}

#[test]
fn check_says_whether_the_database_can_be_used() {
    let database = TestDatabase::new();
    let (code, said) = run(&["check"], &[("DATABASE_URL", database.url())]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("[redacted]") && said.contains("tables fit"), "{said}");
    let (code, said) = run(&["check"], &[("DATABASE_URL", NOWHERE)]);
    assert!(code == 75 && said.contains("cannot be reached") && !said.contains("canary"), "{code} {said}");
    let empty = TestDatabase::empty();
    let (code, said) = run(&["check"], &[("DATABASE_URL", empty.url())]);
    assert!(code == 75 && said.contains("kasparro-etl migrate"), "{code} {said}");
}

#[test]
fn the_document_is_printed() {
    assert_eq!(run(&["openapi"], &[]), (0, kasparro_api::openapi_document()));
}

#[test]
fn it_serves_logs_and_stops() {
    let database = TestDatabase::new();
    let mut program = Program::new(BINARY)
        .arguments(["--bind", "127.0.0.1", "--port", "0"])
        .variable("DATABASE_URL", database.url())
        .spawn();
    let address = program.wait_for(Duration::from_secs(30), |line| {
        Some(line.split_once("serving http://")?.1.split_once('/')?.0.to_owned())
    });
    raw_request(&address, "GET", "/data?limit=3", &[("X-Request-ID", "from-the-test")]);
    let line = program.wait_for_line(Duration::from_secs(30), "request_id=from-the-test");
    assert!(line.contains("method=GET route=/data status=200 duration_ms="), "{line}");

    for (path, code) in [("/readyz", 0), ("/livez", 0), ("/nowhere", 1)] {
        let url = format!("http://{address}{path}");
        assert_eq!(run(&["healthcheck", "--url", &url], &[]).0, code, "{path}");
    }
    assert_eq!(run(&["healthcheck", "--url", "http://127.0.0.1:1/livez"], &[]).0, 1);

    program.signal(Signal::TERM);
    let output = program.wait(Duration::from_secs(30));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("stopping") && output.stderr.contains("stopped"), "{}", output.stderr);
}
