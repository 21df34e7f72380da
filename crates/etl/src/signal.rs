//! SIGTERM and SIGINT: a flag that every wait looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Whether the run was asked to end, and by which signal.
#[derive(Clone, Default)]
pub(crate) struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    signal: AtomicI32,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Cancel {
    /// Asks the run to end and wakes every wait.
    pub(crate) fn set(&self, signal: i32) {
        let _guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.signal.store(signal, Ordering::SeqCst);
        self.0.changed.notify_all();
    }

    /// The signal that asked the run to end; `None` while it may go on.
    pub(crate) fn signal(&self) -> Option<i32> {
        match self.0.signal.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(signal),
        }
    }

    /// Whether the run was asked to end.
    pub(crate) fn is_set(&self) -> bool {
        self.signal().is_some()
    }

    /// Waits; returns early, with `true`, when the run is asked to end.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.0.changed.wait_timeout_while(guard, time, |()| !self.is_set());
        drop(wait);
        self.is_set()
    }
}

/// How long a run may take to end in order; a database that does not answer must not keep it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Turns SIGTERM and SIGINT into [`Cancel`]. The first asks the run to end; a second one ends the process, and so does
/// time.
///
/// # Errors
/// When the handlers cannot be installed.
pub(crate) fn listen(cancel: Cancel) -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if cancel.is_set() {
                std::process::exit(128 + signal);
            }
            log::warn!(
                "ending: what is committed stays, the rest is for the next run (once more to end at once)"
            );
            cancel.set(signal);
            std::thread::spawn(move || {
                std::thread::sleep(PATIENCE);
                log::warn!("ended without a record of it: the database does not answer");
                std::process::exit(128 + signal);
            });
        }
    });
    Ok(())
}
