//! Everything that was asked, in the order of arrival.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::request::Request;
use super::route::Route;

/// The requests received so far.
#[derive(Default)]
pub(crate) struct Journal {
    requests: Mutex<Vec<Request>>,
    arrived: Condvar,
}

impl Journal {
    pub(crate) fn record(&self, request: Request) {
        self.locked().push(request);
        self.arrived.notify_all();
    }

    pub(crate) fn requests(&self, route: Route) -> Vec<Request> {
        self.locked().iter().filter(|request| route.covers(request.route)).cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.locked().clear();
    }

    /// Waits until at least so many requests to a route are there; false when they are not in time.
    pub(crate) fn wait_for(&self, route: Route, count: usize, limit: Duration) -> bool {
        let too_few = |requests: &mut Vec<Request>| {
            requests.iter().filter(|request| route.covers(request.route)).count() < count
        };
        let waited = self.arrived.wait_timeout_while(self.locked(), limit, too_few);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
