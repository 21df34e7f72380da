//! `kasparro-localpg with`: a command and its database.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kasparro_localpg::find;

use crate::Scratch;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kasparro-localpg");

fn with(scratch: &Scratch, script: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("with").arg("--directory").arg(&scratch.directory).args(["--", "sh", "-c", script]);
    // No `.env` of a developer, no variable either.
    command.current_dir(scratch.folder.path()).env_remove("DATABASE_URL").env_remove("DATABASE_URL_FILE");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_command_gets_a_database_and_the_server_stops_after_it() {
    let scratch = Scratch::new();
    let output = with(&scratch, "echo \"$DATABASE_URL\"; exit 7").output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(text(&output).starts_with("postgresql:///kasparro?host=/"), "{output:?}");
    assert!(find(&scratch.directory).unwrap().is_none());
}

#[test]
fn a_configured_database_is_used_as_it_is() {
    let scratch = Scratch::new();
    let output =
        with(&scratch, "echo \"$DATABASE_URL\"").env("DATABASE_URL", "postgres://theirs").output().unwrap();
    assert_eq!(text(&output), "postgres://theirs\n");
    assert!(!scratch.directory.exists());
}

#[test]
fn a_database_named_in_dotenv_is_left_to_the_command() {
    let scratch = Scratch::new();
    std::fs::write(scratch.folder.path().join(".env"), "DATABASE_URL=postgres://theirs\n").unwrap();
    let output = with(&scratch, "echo \"${DATABASE_URL-unset}\"").output().unwrap();
    assert_eq!(text(&output), "unset\n");
    assert!(!scratch.directory.exists());
}

#[test]
fn sigterm_reaches_the_command_and_the_server_stops_after_it() {
    let scratch = Scratch::new();
    let mut running =
        started(&scratch, "trap 'echo ended; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    let lines = wait_for_ready(&mut running);
    signal(&running, "-TERM");
    assert_eq!(running.wait().unwrap().code(), Some(3));
    assert_eq!(lines.map(Result::unwrap).collect::<Vec<_>>(), ["ended"]);
    assert!(find(&scratch.directory).unwrap().is_none());
}

#[test]
fn ctrl_c_ends_the_command_and_then_the_server() {
    use std::os::unix::process::CommandExt;
    let scratch = Scratch::new();
    let mut command = with(&scratch, "echo ready; exec sleep 600");
    let mut running = command.process_group(0).spawn().unwrap();
    drop(wait_for_ready(&mut running));
    // To the whole group, as a terminal does.
    signal_to(&format!("-{}", running.id()), "-INT");
    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert!(find(&scratch.directory).unwrap().is_none());
}

#[test]
fn a_command_that_does_not_exist_leaves_no_server_behind() {
    let scratch = Scratch::new();
    let mut command = Command::new(PROGRAM);
    command
        .arg("with")
        .arg("--private")
        .arg("--directory")
        .arg(&scratch.directory)
        .args(["--", "no-such-program"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot run no-such-program"), "{output:?}");
    assert!(find(&scratch.directory).unwrap().is_none());
}

#[test]
fn status_and_url_say_when_the_server_does_not_run() {
    let scratch = Scratch::new();
    for task in ["status", "url"] {
        let output =
            Command::new(PROGRAM).arg(task).arg("--directory").arg(&scratch.directory).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{task}");
    }
}

#[test]
fn a_killed_scratch_takes_its_server_along() {
    let mut scratch = Command::new(PROGRAM);
    scratch.args(["scratch", "--", "sh", "-c", "echo \"$KASPARRO_TEST_CLUSTER_DIR\"; exec cat"]);
    let mut running = scratch.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let directory = BufReader::new(running.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(find(std::path::Path::new(&directory)).unwrap().is_some());
    signal(&running, "-KILL");
    running.wait().unwrap();
    let gone_by = Instant::now() + Duration::from_secs(60);
    while std::path::Path::new(&directory).exists() {
        assert!(Instant::now() < gone_by, "{directory} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn started(scratch: &Scratch, script: &str) -> Child {
    with(scratch, script).spawn().unwrap()
}

fn wait_for_ready(running: &mut Child) -> std::io::Lines<BufReader<std::process::ChildStdout>> {
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    lines
}

fn signal(running: &Child, signal: &str) {
    signal_to(&running.id().to_string(), signal);
}

fn signal_to(process: &str, signal: &str) {
    assert!(Command::new("kill").args([signal, "--", process]).status().unwrap().success());
}
