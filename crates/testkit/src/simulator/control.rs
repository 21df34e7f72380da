//! Stopping, and waiting in a way that stopping ends.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shared by all threads of a simulator.
#[derive(Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    releases: usize,
}

impl Control {
    pub(crate) fn stop(&self) {
        self.locked().stopped = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.locked().stopped
    }

    /// Lets one held response go: one that waits, or the next to come.
    pub(crate) fn release(&self) {
        self.locked().releases += 1;
        self.changed.notify_all();
    }

    /// Waits to be released; false when the simulator stops first.
    pub(crate) fn wait_for_release(&self) -> bool {
        let held = |state: &mut State| !state.stopped && state.releases == 0;
        let mut state = self.changed.wait_while(self.locked(), held).unwrap_or_else(PoisonError::into_inner);
        state.releases = state.releases.saturating_sub(1);
        !state.stopped
    }

    /// Waits for some time; false when the simulator stops first.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let running = |state: &mut State| !state.stopped;
        let waited = self.changed.wait_timeout_while(self.locked(), time, running);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
