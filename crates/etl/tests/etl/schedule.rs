//! The loop of the containers, `docker/etl-every.sh`, around a stand-in for the program.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use kasparro_testkit::process::{Program, Signal};
use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docker/etl-every.sh");
const SOON: Duration = Duration::from_secs(30);

/// The loop, and the folder of the `kasparro-etl` that it finds.
fn every(seconds: &[&str], stand_in: &str) -> (Program, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("kasparro-etl");
    std::fs::write(&program, format!("#!/bin/sh\n{stand_in}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Path::new(SCRIPT).is_file());
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    (Program::new(SCRIPT).arguments(seconds).variable("PATH", path), folder)
}

#[test]
fn an_interval_that_is_none_is_refused_before_the_first_run() {
    for wrong in [&[][..], &[""], &["abc"], &["1h"], &["0"], &["007"], &["-1"], &["1.5"], &["9999999999"]] {
        let (program, _folder) = every(wrong, "echo started");
        let output = program.run();
        assert_eq!((output.code, output.stdout.as_str()), (64, ""), "{wrong:?}: {output:?}");
        assert!(output.stderr.contains("a whole number of seconds"), "{wrong:?}: {output:?}");
    }
}

#[test]
fn runs_follow_each_other_whatever_they_end_with() {
    for (code, said) in [
        (0, "kasparro-etl ended with exit code 0; next run in "),
        (69, "kasparro-etl ended with exit code 69; next run in "),
        (78, "kasparro-etl ended with exit code 78, which somebody must mend; next run in "),
    ] {
        let (program, _folder) = every(&["1"], &format!("echo \"started with $*\"; exit {code}"));
        let mut running = program.spawn();
        for _ in 0..2 {
            running.wait_for_line(SOON, "started with run");
            running.wait_for_line(SOON, said);
        }
        running.signal(Signal::TERM);
        // The next run may be at its end already.
        let ended = running.wait(SOON).code;
        assert!([143, code].contains(&ended), "{ended}");
    }
}

#[test]
fn a_signal_reaches_the_run_and_its_exit_code_is_that_of_the_loop() {
    for signal in [Signal::TERM, Signal::INT] {
        let stand_in = "trap 'echo ending; kill -9 $!; exit 7' TERM; sleep 600 & echo started; wait";
        let (program, _folder) = every(&["600"], stand_in);
        let mut running = program.spawn();
        running.wait_for_line(SOON, "started");
        running.signal(signal);
        running.wait_for_line(SOON, "ending");
        assert_eq!(running.wait(SOON).code, 7);
    }
}

#[test]
fn a_signal_between_two_runs_ends_the_wait() {
    let (program, _folder) = every(&["600"], "true");
    let mut running = program.spawn();
    running.wait_for_line(SOON, "next run in ");
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON).code, 143);
}
