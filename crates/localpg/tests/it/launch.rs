//! `run`, `demo` and `etl`: the order of the programs, and what they are told. The programs are stand-ins.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use kasparro_localpg::find;

use crate::Scratch;

/// The launcher with stand-ins beside it, and a folder to run in.
struct Stage {
    scratch: Scratch,
    programs: tempfile::TempDir,
}

impl Stage {
    fn set() -> Self {
        // On the file system of the launcher: programs are sought beside it, so it is linked, not copied.
        let programs = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::hard_link(env!("CARGO_BIN_EXE_kasparro-localpg"), programs.path().join("kasparro-localpg"))
            .unwrap();
        for name in ["kasparro-etl", "kasparro-api", "kasparro-simulator"] {
            let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name);
            symlink(stand_in, programs.path().join(name)).unwrap();
        }
        Self { scratch: Scratch::new(), programs }
    }

    fn command(&self, task: &str) -> Command {
        let mut command = Command::new(self.programs.path().join("kasparro-localpg"));
        command.arg(task).arg("--directory").arg(&self.scratch.directory);
        command.current_dir(self.scratch.folder.path()).env("CALLS", self.calls_file());
        command.env("PORT", free_port().to_string());
        for name in ["DATABASE_URL", "DATABASE_URL_FILE", "CSV_FILE_PATH", "COINGECKO_BASE_URL"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn calls_file(&self) -> PathBuf {
        self.scratch.folder.path().join("calls")
    }

    fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.calls_file()).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn run_migrates_loads_once_serves_and_stops_the_server() {
    let stage = Stage::set();
    let output = stage.command("run").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        stage.calls(),
        [
            "etl migrate postgresql:///kasparro vendor",
            "etl run postgresql:///kasparro vendor",
            "api postgresql:///kasparro"
        ]
    );
    assert!(said(&output).contains("starting the API"), "{output:?}");
    assert!(find(&stage.scratch.directory).unwrap().is_none());
}

#[test]
fn a_source_that_cannot_be_reached_is_reported_and_the_rest_is_served() {
    let stage = Stage::set();
    let output = stage.command("run").env("RUN_ENDS_WITH", "69").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said(&output).contains("exit code 69"), "{output:?}");
    assert_eq!(stage.calls().len(), 3);
}

#[test]
fn a_wrong_setting_or_a_lost_database_ends_the_run() {
    for code in [64, 75, 78] {
        let stage = Stage::set();
        let output = stage.command("run").env("RUN_ENDS_WITH", code.to_string()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(stage.calls().len(), 2);
        assert!(find(&stage.scratch.directory).unwrap().is_none());
    }
}

#[test]
fn a_taken_port_is_an_error_before_anything_is_started() {
    let stage = Stage::set();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = stage.command("run").env("PORT", port.to_string()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&format!("port {port} is taken")), "{output:?}");
    assert!(!stage.scratch.directory.exists());
}

#[test]
fn while_a_demo_runs_a_load_elsewhere_goes_into_it() {
    let stage = Stage::set();
    let mut demo = stage.command("demo").stdin(Stdio::piped()).spawn().unwrap();
    wait_until_serving(&mut demo);
    assert!(stage.command("demo").output().unwrap().status.code() == Some(1), "a second demo was let in");
    assert!(stage.command("etl").args(["--", "--sources", "csv"]).status().unwrap().success());
    drop(demo.stdin.take());
    assert_eq!(demo.wait().unwrap().code(), Some(0));
    assert!(stage.command("etl").status().unwrap().success());
    assert_eq!(
        stage.calls(),
        [
            "etl migrate postgresql:///kasparro_demo http://gecko.invalid",
            "etl run postgresql:///kasparro_demo http://gecko.invalid",
            "api postgresql:///kasparro_demo",
            "etl migrate postgresql:///kasparro_demo http://gecko.invalid",
            "etl run --sources csv postgresql:///kasparro_demo http://gecko.invalid",
            "simulator ended",
            "etl migrate postgresql:///kasparro vendor",
            "etl run postgresql:///kasparro vendor",
        ]
    );
    assert!(find(&stage.scratch.directory).unwrap().is_none());
}

#[test]
fn the_note_of_a_killed_demo_is_not_believed() {
    let stage = Stage::set();
    fs::write(stage.scratch.directory.with_file_name("demo.env"), "DATABASE_URL=postgresql:///gone\n")
        .unwrap();
    assert!(stage.command("etl").status().unwrap().success());
    assert_eq!(stage.calls()[0], "etl migrate postgresql:///kasparro vendor");
}

fn wait_until_serving(demo: &mut Child) {
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "serving");
}
