//! The two programs around the simulator.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::get;

/// A running `kasparro-simulator` and the lines it printed.
struct Program {
    child: Child,
    lines: Vec<String>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kasparro-simulator"));
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines =
            BufReader::new(child.stdout.take().unwrap()).lines().take(2).map(Result::unwrap).collect();
        Self { child, lines }
    }

    fn url(&self, name: &str) -> &str {
        let value = self.lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap()
    }

    fn exit_code_after(mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails when it has ended already, as it should have.
        drop(self.child.kill());
    }
}

#[test]
fn the_simulator_prints_its_urls_and_serves_until_it_is_told_to_stop() {
    for signal in [Signal::INT, Signal::TERM] {
        let program = Program::start(&["--coins", "40", "--seed", "3"]);
        let tickers = get(&format!("{}/tickers", program.url("COINPAPRIKA_BASE_URL")));
        let markets = get(&format!("{}/coins/markets?vs_currency=usd", program.url("COINGECKO_BASE_URL")));
        assert_eq!((tickers.items().len(), markets.items().len()), (40, 40));
        assert_eq!(program.exit_code_after(signal), Some(0));
    }
}

#[test]
fn the_simulator_serves_files_and_faults() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("one-coin.json");
    fs::write(&file, "[{\"id\":\"one\"}]").unwrap();
    let given = format!("coingecko-markets={}", file.display());
    let program = Program::start(&["--serve-body", &given, "--serve-body", &given, "--faults", "flaky"]);
    let url = format!("{}/coins/markets?vs_currency=usd", program.url("COINGECKO_BASE_URL"));
    let bodies: Vec<String> = (1..=3).map(|page| get(&format!("{url}&page={page}")).text()).collect();
    assert_eq!(bodies, ["[{\"id\":\"one\"}]", "[{\"id\":\"one\"}]", "[]"]);
    let statuses: Vec<u16> = (4..=6).map(|_| get(&url).status).collect();
    assert_eq!(statuses, [200, 503, 200]);
}

#[test]
fn wrong_arguments_are_refused_in_a_sentence() {
    for (arguments, word) in [
        (["--serve-body", "nonsense=file"], "no such route"),
        (["--serve-body", "coingecko-list=/nonexistent/file"], "cannot read"),
        (["--coins", "0"], "0 is not in 1..=20000"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_kasparro-simulator")).args(arguments).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && message.contains(word), "{message}");
    }
}

#[test]
fn the_generator_writes_the_rows_asked_for() {
    let output = Command::new(env!("CARGO_BIN_EXE_kasparro-generate-csv"))
        .args(["--coins", "3", "--times", "4"])
        .output();
    let output = output.unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 13);
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("12 rows, "));
}
