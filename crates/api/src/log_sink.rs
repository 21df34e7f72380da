//! Where log lines wait until they are written: a line costs the request that it is about a copy, not a system call.
//!
//! What warns of something is written at once, with all that came before it. The rest waits [`PERIOD`] at most; only
//! that much is lost when the process is killed.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a line waits, at most.
const PERIOD: Duration = Duration::from_millis(20);

/// How many bytes wait, at most: from there on whoever logs waits as well, so that a log that nobody takes costs no
/// memory.
const MOST_BYTES: usize = 32 * 1024;

/// Standard error, written to in large pieces. The copies are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogSink(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    lines: Mutex<Vec<u8>>,
    /// Told when there is a first line.
    some: Condvar,
    /// Whether the next line is to be written at once.
    urgent: AtomicBool,
}

impl LogSink {
    /// A sink with a thread that empties it. Without the thread (there may be none left) each line is written at once.
    pub(crate) fn start() -> Self {
        let sink = Self::default();
        let emptied = sink.clone();
        let _ = std::thread::Builder::new().name("log".to_owned()).spawn(move || emptied.empty_for_ever());
        sink
    }

    /// Has the next line written at once.
    pub(crate) fn hurry(&self) {
        self.0.urgent.store(true, Ordering::Relaxed);
    }

    /// Writes down what waits. Nobody else's line comes in between.
    pub(crate) fn empty(&self) {
        write_down(&mut self.lines());
    }

    fn empty_for_ever(&self) {
        loop {
            let mut lines = self.lines();
            while lines.is_empty() {
                lines = self.0.some.wait(lines).unwrap_or_else(PoisonError::into_inner);
            }
            drop(lines);
            std::thread::sleep(PERIOD);
            self.empty();
        }
    }

    fn lines(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the log cannot be written the service goes on.
fn write_down(lines: &mut Vec<u8>) {
    let _ = io::stderr().write_all(lines);
    lines.clear();
}

impl Write for LogSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.lines();
        if lines.is_empty() {
            self.0.some.notify_one();
        }
        lines.extend_from_slice(bytes);
        if lines.len() >= MOST_BYTES {
            write_down(&mut lines);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // The library asks for it after every line.
        if self.0.urgent.swap(false, Ordering::Relaxed) {
            self.empty();
        }
        Ok(())
    }
}
