//! Runs the workspace's own programs as their users do, away from the developer's variables and files.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

/// What a test may pass on to a program; everything else of the developer's environment stays outside.
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "TMPDIR"];

/// A program to be run, with a clean environment and away from any `.env`.
#[derive(Debug)]
pub struct Program {
    command: Command,
    secrets: Vec<String>,
    measured: bool,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Output {
    /// The exit code; 128 + the number of the signal that ended it, as a shell has it.
    pub code: i32,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    /// Peak of its resident memory in KiB; 0 unless it was [`measured`](Program::measured).
    pub peak_kib: u64,
}

/// Runs a program to its end.
///
/// Panics when it cannot be run.
#[track_caller]
pub fn run_binary(path: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Program::new(path).arguments(arguments).variables(variables).run()
}

impl Program {
    /// A program without arguments and with a bare environment, in a folder that has no `.env` above it.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(path);
        command.env_clear().current_dir("/").stdin(Stdio::null());
        command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        Self { command, secrets: Vec::new(), measured: false }
    }

    /// A text that neither output may contain; looked for when the program has ended.
    pub fn secret(mut self, text: impl Into<String>) -> Self {
        self.secrets.push(text.into());
        self
    }

    /// Measures the peak of its memory.
    pub fn measured(mut self) -> Self {
        self.measured = true;
        self
    }

    /// Takes a variable away.
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Adds arguments.
    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets one variable.
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets several variables.
    pub fn variables(mut self, variables: &[(&str, &str)]) -> Self {
        self.command.envs(variables.iter().copied());
        self
    }

    /// Runs it in another folder.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it to its end. Panics when it cannot be run.
    #[track_caller]
    pub fn run(self) -> Output {
        self.spawn().wait(Duration::from_secs(600))
    }

    /// Starts it. Panics when it cannot be started.
    #[track_caller]
    pub fn spawn(mut self) -> Running {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot run {}: {error}", self.command.get_program().display()),
        };
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            read_lines(stdout, Stream::Stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            read_lines(stderr, Stream::Stderr, sender);
        }
        let Self { secrets, measured, .. } = self;
        Running { child, lines, stdout: String::new(), stderr: String::new(), secrets, measured, peak_kib: 0 }
    }
}

/// A program that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<(Stream, String)>,
    stdout: String,
    stderr: String,
    secrets: Vec<String>,
    measured: bool,
    peak_kib: u64,
}

/// How often the memory of a program is looked at.
const MEASURE_EVERY: Duration = Duration::from_millis(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Running {
    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads both outputs until one has a line for which the function has an answer, and returns that answer.
    ///
    /// Panics, showing all that was read, when the program ends or the time is over before that.
    #[track_caller]
    pub fn wait_for<T>(&mut self, within: Duration, mut answer: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((stream, line)) => {
                    self.keep(stream, &line);
                    if let Some(answer) = answer(line.trim_end_matches(['\n', '\r'])) {
                        return answer;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("not said within {within:?}:{}", self.said()),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the program ended without saying it:{}", self.said())
                }
            }
        }
    }

    /// As [`wait_for`](Self::wait_for): reads until a line contains the text, and returns that line.
    #[track_caller]
    pub fn wait_for_line(&mut self, within: Duration, text: &str) -> String {
        self.wait_for(within, |line| line.contains(text).then(|| line.to_owned()))
    }

    /// Sends a signal. A program that has ended already gets none.
    pub fn signal(&self, signal: Signal) {
        // Not reaped before `wait`, so the number cannot be somebody else's.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end. Panics, showing all that was read, when the time is over before that, or when a secret was
    /// said.
    #[track_caller]
    pub fn wait(mut self, within: Duration) -> Output {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.measured {
                self.peak_kib = self.peak_kib.max(high_water_mark(self.child.id()).unwrap_or(0));
            }
            match self.lines.recv_timeout(if self.measured { left.min(MEASURE_EVERY) } else { left }) {
                Ok((stream, line)) => self.keep(stream, &line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if left > Duration::ZERO => {}
                Err(RecvTimeoutError::Timeout) => panic!("still running after {within:?}:{}", self.said()),
            }
        }
        for secret in &self.secrets {
            assert!(
                !self.stdout.contains(secret) && !self.stderr.contains(secret),
                "it says the secret {secret}:{}",
                self.said()
            );
        }
        // Both outputs are closed: the end is near.
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(error) => panic!("cannot wait for the program: {error}"),
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let (stdout, stderr) = (std::mem::take(&mut self.stdout), std::mem::take(&mut self.stderr));
        Output { code, stdout, stderr, peak_kib: self.peak_kib }
    }

    fn keep(&mut self, stream: Stream, line: &str) {
        match stream {
            Stream::Stdout => self.stdout.push_str(line),
            Stream::Stderr => self.stderr.push_str(line),
        }
    }

    fn said(&self) -> String {
        format!("\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The kernel's own record of the peak of a process, in KiB.
fn high_water_mark(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn read_lines(input: impl Read + Send + 'static, stream: Stream, sender: Sender<(Stream, String)>) {
    std::thread::spawn(move || {
        let mut input = BufReader::new(input);
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            if sender.send((stream, String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// The path of a program of the workspace, for tests of another package than the program's own (those have
/// `env!("CARGO_BIN_EXE_…")`).
///
/// It lies beside the test programs. `cargo test --workspace` has built it; a test of one package alone builds it when
/// it is missing, and otherwise takes it as it is.
///
/// Panics when it cannot be built.
#[track_caller]
pub fn workspace_binary(name: &str) -> PathBuf {
    let folder = match profile_folder() {
        Some(folder) => folder,
        None => panic!("{name} is sought beside the test program, which does not lie in a target folder"),
    };
    let path = folder.join(name);
    if !path.is_file() {
        build(name, &folder);
    }
    path
}

/// `target/<profile>`, from `target/<profile>/deps/<test program>`.
fn profile_folder() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    Some(program.ancestors().find(|folder| folder.ends_with("deps"))?.parent()?.to_owned())
}

#[track_caller]
fn build(name: &str, folder: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "--bin", name]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if let Some(profile) = folder.file_name().filter(|profile| *profile != "debug") {
        command.arg("--profile").arg(profile);
    }
    match command.arg("--workspace").status() {
        Ok(status) if status.success() => {}
        outcome => panic!("cannot build {name}: {outcome:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Program {
        Program::new("sh").arguments(["-c", script])
    }

    #[test]
    fn output_and_exit_code_are_kept() {
        let output = shell("echo one; echo two >&2; printf three; exit 66").run();
        assert_eq!(
            (output.code, output.stdout.as_str(), output.stderr.as_str()),
            (66, "one\nthree", "two\n")
        );
    }

    #[test]
    fn the_developers_variables_stay_outside() {
        let output = run_binary(Path::new("/usr/bin/env"), &[], &[("GIVEN", "1")]);
        let mut names: Vec<&str> =
            output.stdout.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        names.retain(|name| !PASSED_ON.contains(name));
        assert_eq!(names, ["GIVEN"]);
    }

    #[test]
    fn a_line_is_waited_for_and_a_signal_ends_the_program() {
        let mut running = shell("echo starting; echo ready at 7 >&2; exec sleep 600").spawn();
        assert_eq!(running.wait_for_line(SOON, "ready"), "ready at 7");
        running.signal(Signal::TERM);
        let output = running.wait(SOON);
        assert_eq!((output.code, output.stdout.as_str()), (143, "starting\n"));
    }

    #[test]
    #[should_panic(expected = "ended without saying it")]
    fn a_line_that_never_comes_is_not_waited_for_once_the_program_has_ended() {
        shell("echo something else").spawn().wait_for_line(SOON, "ready");
    }

    #[test]
    #[should_panic(expected = "it says the secret canary")]
    fn a_secret_that_is_said_fails_the_test() {
        shell("echo my canary sings >&2").secret("canary").run();
    }

    #[test]
    fn the_peak_of_the_memory_is_seen() {
        let output = shell("sleep 0.1").measured().run();
        assert!((100..1_000_000).contains(&output.peak_kib), "{output:?}");
        assert_eq!(shell("true").run().peak_kib, 0);
    }

    #[test]
    fn a_dropped_program_is_killed() {
        let mut running = shell("echo $$; exec sleep 600").spawn();
        let pid = running.wait_for(SOON, |line| line.parse::<i32>().ok()).to_string();
        drop(running);
        assert!(!Command::new("kill").args(["-0", &pid]).stderr(Stdio::null()).status().unwrap().success());
    }

    #[test]
    fn a_program_of_the_workspace_is_found() {
        let output = run_binary(&workspace_binary("kasparro-localpg"), &["--version"], &[]);
        assert!(output.stdout.starts_with("kasparro-localpg "), "{output:?}");
    }
}
