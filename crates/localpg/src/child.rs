//! Runs one command while signals wait: the server is stopped after it, however it ends.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

/// A command from its words; there is at least one.
pub(crate) fn command(words: &[OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// The signals that ask a program to end, caught from the moment that this exists.
pub(crate) struct Signals {
    received: Arc<AtomicI32>,
    child: Arc<Mutex<Option<Child>>>,
}

impl Signals {
    /// Begins to catch the signals.
    pub(crate) fn watch() -> Result<Self> {
        let watched = Self { received: Arc::default(), child: Arc::default() };
        let mut signals =
            iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot catch signals")?;
        let (received, child) = (watched.received.clone(), watched.child.clone());
        std::thread::spawn(move || {
            for signal in signals.forever() {
                received.store(signal, Ordering::SeqCst);
                pass_on(signal, &child);
            }
        });
        Ok(watched)
    }

    /// Runs the command and returns its exit code, or 128 + the number of the signal that ended it.
    ///
    /// It is not begun when a signal came before.
    pub(crate) fn run(&self, command: &mut Command) -> Result<u8> {
        let pid = {
            let mut running = self.lock();
            if let Some(code) = self.interrupted() {
                return Ok(code);
            }
            let child =
                command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
            let pid = Pid::from_child(&child);
            *running = Some(child);
            pid
        };
        let status = self.wait(pid)?;
        Ok(code(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))))
    }

    /// The exit code for a signal that has come, `None` while there was none.
    pub(crate) fn interrupted(&self) -> Option<u8> {
        let signal = self.received.load(Ordering::SeqCst);
        (signal != 0).then(|| code(128 + signal))
    }

    /// Waits without reaping, so that the number stays the child's while a signal may still be passed on to it.
    fn wait(&self, pid: Pid) -> Result<ExitStatus> {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(error) = waitid(WaitId::Pid(pid), options) {
            if error != rustix::io::Errno::INTR {
                return Err(error).context("cannot wait for the command");
            }
        }
        let child = self.lock().take();
        let mut child = child.context("the command is gone")?;
        child.wait().context("cannot wait for the command")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How long a command gets to end by itself after a SIGINT.
const GRACE: Duration = Duration::from_secs(5);

/// Passes a signal on to the command. Not SIGINT at once: Ctrl-C reaches every program of the terminal, and a second one
/// would tell the command not to end in good order. Sent to this program alone, it is passed on after a while.
fn pass_on(signal: i32, child: &Arc<Mutex<Option<Child>>>) {
    match signal {
        SIGTERM => send(Signal::TERM, child),
        SIGHUP => send(Signal::HUP, child),
        _ => {
            let child = Arc::clone(child);
            std::thread::spawn(move || {
                std::thread::sleep(GRACE);
                send(Signal::TERM, &child);
            });
        }
    }
}

fn send(signal: Signal, child: &Mutex<Option<Child>>) {
    let child = child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(child) = child.as_ref() {
        // It may have ended just now; then there is nobody to tell.
        let _ = kill_process(Pid::from_child(child), signal);
    }
}

fn code(number: i32) -> u8 {
    u8::try_from(number).unwrap_or(1)
}
