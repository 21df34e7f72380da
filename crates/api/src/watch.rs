//! What the tables said a moment ago. One task asks several times a second, so that no request has to.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use kasparro_core::store::overview::Overview;
use tokio::sync::Notify;

/// How old the newest news may be for answers to be given on their strength: what the service promises about
/// committed batches.
pub(crate) const FRESHNESS: Duration = Duration::from_secs(1);

/// Time between two questions.
pub(crate) const PERIOD: Duration = Duration::from_millis(250);

/// What is known at the moment, shared by all.
#[derive(Debug)]
pub(crate) struct Watch {
    state: RwLock<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    news: Option<News>,
    /// News that were asked for before this time are not believed.
    not_before: Option<Instant>,
    /// The newest number that was given.
    number: u64,
}

#[derive(Debug)]
struct News {
    known: Arc<Known>,
    asked_at: Instant,
}

/// One state of the tables.
#[derive(Debug)]
pub(crate) struct Known {
    /// What they say.
    pub(crate) overview: Overview,
    /// Number of this version of the data, within this process.
    pub(crate) data: u64,
    /// Number of this overview, within this process.
    pub(crate) revision: u64,
}

impl Watch {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self { state: RwLock::default(), wake: Notify::new() }
    }

    /// What is known, unless it is too old.
    pub(crate) fn known(&self) -> Option<Arc<Known>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let news = state.news.as_ref()?;
        (news.asked_at.elapsed() < FRESHNESS).then(|| Arc::clone(&news.known))
    }

    /// The number of the overview that is known at that time, unless it is too old.
    pub(crate) fn revision(&self, now: Instant) -> Option<u64> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let news = state.news.as_ref()?;
        (now.saturating_duration_since(news.asked_at) < FRESHNESS).then_some(news.known.revision)
    }

    /// Takes the answer to a question asked at that time. Returns whether the data is another than before.
    pub(crate) fn learn(&self, overview: Overview, asked_at: Instant) -> bool {
        let mut guard = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        if state.not_before.is_some_and(|time| asked_at < time) {
            return false;
        }
        let before = state.news.take().map(|news| news.known);
        if let Some(known) = before.as_ref().filter(|known| known.overview == overview) {
            state.news = Some(News { known: Arc::clone(known), asked_at });
            return false;
        }
        let same = before.filter(|known| known.overview.sources == overview.sources);
        state.number += 1;
        let (revision, data) = (state.number, same.as_ref().map_or(state.number, |known| known.data));
        state.news = Some(News { known: Arc::new(Known { overview, data, revision }), asked_at });
        same.is_none()
    }

    /// Forgets what is known: it cannot be confirmed, or a request has seen newer data. Asks again at once.
    pub(crate) fn distrust(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.news = None;
        state.not_before = Some(Instant::now());
        drop(state);
        self.wake.notify_one();
    }

    /// Forgets what is known because the database does not answer.
    pub(crate) fn lose(&self) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).news = None;
    }

    /// Waits until it is time to ask again.
    pub(crate) async fn until_next(&self) {
        let _ = actix_web::rt::time::timeout(PERIOD, self.wake.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kasparro_core::store::version::SourceState;

    fn overview(batch_number: i64, runs: Option<i64>) -> Overview {
        let source = SourceState {
            source_id: 1,
            name: "csv".to_owned(),
            kind: "market".to_owned(),
            observations: 0,
            raw_records: 0,
            batch_number,
            last_batch_at: None,
        };
        let last_successful_run = runs.and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
        Overview { sources: [source].into(), checkpoints: vec![], recent_runs: vec![], last_successful_run }
    }

    #[test]
    fn a_number_belongs_to_one_version() {
        let watch = Watch::new();
        assert!(watch.known().is_none());
        let numbers = |data: i64, runs| {
            let changed = watch.learn(overview(data, runs), Instant::now());
            let known = watch.known().unwrap();
            (changed, known.data, known.revision)
        };
        assert_eq!(numbers(1, None), (true, 1, 1));
        assert_eq!(numbers(1, None), (false, 1, 1));
        assert_eq!(numbers(1, Some(5)), (false, 1, 2), "a run ended, the data is the same");
        assert_eq!(numbers(2, Some(5)), (true, 3, 3));
        watch.lose();
        assert_eq!(numbers(2, Some(5)), (true, 4, 4), "nobody knows what happened meanwhile");
    }

    #[test]
    fn what_was_asked_before_a_doubt_is_not_believed() {
        let watch = Watch::new();
        let asked_at = Instant::now();
        watch.distrust();
        assert!(!watch.learn(overview(1, None), asked_at) && watch.known().is_none());
        assert!(watch.learn(overview(2, None), Instant::now()) && watch.known().is_some());
    }

    #[test]
    fn old_news_is_no_news() {
        let watch = Watch::new();
        let long_ago = Instant::now().checked_sub(FRESHNESS).unwrap();
        watch.learn(overview(1, None), long_ago);
        assert!(watch.known().is_none());
    }
}
