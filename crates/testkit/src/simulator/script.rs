//! Which fault meets which request.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fault::Fault;
use super::request::Request;
use super::route::Route;

/// Faults waiting for their requests. Those for a number of requests come first, in the order they were asked for; then
/// the newest standing one.
#[derive(Default)]
pub(crate) struct Script {
    entries: Mutex<Vec<Entry>>,
}

struct Entry {
    route: Route,
    page: Option<usize>,
    fault: Fault,
    schedule: Schedule,
}

enum Schedule {
    Times(usize),
    Always,
    /// Every n-th request, and how many have been counted.
    Every(usize, usize),
}

/// A fault that still needs to be told how often it strikes; one that is dropped untold strikes once.
pub struct Placement<'a> {
    script: &'a Script,
    route: Route,
    page: Option<usize>,
    fault: Option<Fault>,
}

impl Placement<'_> {
    /// Strikes only requests for a page, counted from 1.
    #[must_use]
    pub fn on_page(mut self, page: usize) -> Self {
        self.page = Some(page);
        self
    }

    /// Strikes the next matching request.
    pub fn once(self) {
        self.times(1);
    }

    /// Strikes the next so many matching requests.
    pub fn times(mut self, times: usize) {
        self.place(Schedule::Times(times));
    }

    /// Strikes every matching request that no counted fault strikes.
    pub fn always(mut self) {
        self.place(Schedule::Always);
    }

    /// Strikes every n-th matching request that no counted fault strikes.
    pub fn every(mut self, nth: usize) {
        self.place(Schedule::Every(nth.max(1), 0));
    }

    fn place(&mut self, schedule: Schedule) {
        if let Some(fault) = self.fault.take() {
            self.script.locked().push(Entry { route: self.route, page: self.page, fault, schedule });
        }
    }
}

impl Drop for Placement<'_> {
    fn drop(&mut self) {
        self.place(Schedule::Times(1));
    }
}

impl Script {
    pub(crate) fn placement(&self, route: Route, fault: Fault) -> Placement<'_> {
        Placement { script: self, route, page: None, fault: Some(fault) }
    }

    /// The fault for a request, used up if it was for a number of requests.
    pub(crate) fn take(&self, request: &Request) -> Option<Fault> {
        let mut entries = self.locked();
        let matches = |entry: &Entry| {
            entry.route.covers(request.route) && entry.page.is_none_or(|page| page == request.page())
        };
        let counted =
            entries.iter().position(|entry| matches(entry) && matches!(entry.schedule, Schedule::Times(1..)));
        if let Some(entry) = counted.and_then(|position| entries.get_mut(position)) {
            if let Schedule::Times(left) = &mut entry.schedule {
                *left -= 1;
            }
            return Some(entry.fault.clone());
        }
        entries.iter_mut().rev().filter(|entry| matches(entry)).find_map(|entry| entry.strike())
    }

    /// Number of counted faults that have not struck yet.
    pub(crate) fn pending(&self) -> usize {
        let left = |entry: &Entry| if let Schedule::Times(left) = entry.schedule { left } else { 0 };
        self.locked().iter().map(left).sum()
    }

    pub(crate) fn clear(&self) {
        self.locked().clear();
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn strike(&mut self) -> Option<Fault> {
        let strikes = match &mut self.schedule {
            Schedule::Times(_) => false,
            Schedule::Always => true,
            Schedule::Every(nth, counted) => {
                *counted += 1;
                *counted % *nth == 0
            }
        };
        strikes.then(|| self.fault.clone())
    }
}
