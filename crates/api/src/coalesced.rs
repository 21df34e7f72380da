//! One read for the requests that wait for the same at the same time (request coalescing).
//!
//! A request joins a read only until that begins, so what it is given was read after it came: nobody sees an older
//! state for having joined.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The reads that have not begun, by what they read; for every worker the same.
pub(crate) struct Coalesced<T>(Arc<Waiting<T>>);

type Waiting<T> = Mutex<HashMap<String, watch::Receiver<Option<T>>>>;

/// A read that can be joined until it begins, or is given up.
pub(crate) struct Joinable<T> {
    waiting: Arc<Waiting<T>>,
    name: String,
    outcome: watch::Receiver<Option<T>>,
}

impl<T> Default for Coalesced<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Coalesced<T> {
    /// What `read` finds, or what a read of the same name finds that has not begun. `read` says when it begins.
    pub(crate) async fn read<F, R>(&self, name: &str, read: F) -> T
    where
        F: FnOnce(Joinable<T>) -> R,
        R: Future<Output = T>,
    {
        let sender = loop {
            let mut joined = match self.join(name) {
                Ok(joined) => joined,
                Err(sender) => break sender,
            };
            // The request whose read it was may have gone away; then this one goes on by itself.
            if let Ok(Some(outcome)) = joined.wait_for(Option::is_some).await.as_deref() {
                return outcome.clone();
            }
        };
        let joinable =
            Joinable { waiting: Arc::clone(&self.0), name: name.to_owned(), outcome: sender.subscribe() };
        let outcome = read(joinable).await;
        sender.send_replace(Some(outcome.clone()));
        outcome
    }

    /// A read to wait for, or the place of a new one.
    fn join(&self, name: &str) -> Result<watch::Receiver<Option<T>>, watch::Sender<Option<T>>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.get(name).filter(|outcome| outcome.has_changed().is_ok()) {
            Some(outcome) => Ok(outcome.clone()),
            None => {
                let (sender, outcome) = watch::channel(None);
                waiting.insert(name.to_owned(), outcome);
                Err(sender)
            }
        }
    }
}

impl<T> Joinable<T> {
    /// Who comes from now on has to read for itself.
    pub(crate) fn begin(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(&self.name).is_some_and(|outcome| outcome.same_channel(&self.outcome)) {
            waiting.remove(&self.name);
        }
    }
}

impl<T> Drop for Joinable<T> {
    fn drop(&mut self) {
        self.begin();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use actix_web::rt::task::yield_now;
    use tokio::sync::Notify;

    /// A read of the number of reads before it, which begins and ends when it is told to.
    struct Counter {
        reads: AtomicUsize,
        begin: Notify,
        end: Notify,
        coalesced: Coalesced<usize>,
    }

    impl Counter {
        fn new() -> Self {
            let (reads, coalesced) = (AtomicUsize::new(0), Coalesced::default());
            Self { reads, begin: Notify::new(), end: Notify::new(), coalesced }
        }

        async fn read(&self) -> usize {
            let read = async |joinable: Joinable<usize>| {
                self.begin.notified().await;
                joinable.begin();
                let before = self.reads.fetch_add(1, Ordering::Relaxed);
                self.end.notified().await;
                before
            };
            self.coalesced.read("a", read).await
        }
    }

    #[actix_web::test]
    async fn who_comes_before_the_read_begins_is_given_its_outcome_and_nobody_else() {
        let counter = Counter::new();
        let late = async {
            for _ in 0..3 {
                yield_now().await;
            }
            counter.begin.notify_one();
            while counter.reads.load(Ordering::Relaxed) == 0 {
                yield_now().await;
            }
            counter.begin.notify_one();
            counter.end.notify_one();
            let own = counter.read();
            tokio::join!(own, async {
                while counter.reads.load(Ordering::Relaxed) < 2 {
                    yield_now().await;
                }
                counter.end.notify_one();
            })
            .0
        };
        let (first, joined, late) = tokio::join!(counter.read(), counter.read(), late);
        assert_eq!((first, joined, late), (0, 0, 1));
        assert!(counter.coalesced.0.lock().unwrap().is_empty(), "nothing is left behind");
    }

    #[actix_web::test]
    async fn who_joined_a_request_that_went_away_reads_itself() {
        let counter = Counter::new();
        let mut gone = Box::pin(counter.read());
        let begun = poll_fn(|context| Poll::Ready(gone.as_mut().poll(context))).await;
        assert!(begun.is_pending());
        let joined = async {
            let leave = async {
                yield_now().await;
                drop(gone);
                counter.begin.notify_one();
                counter.end.notify_one();
            };
            tokio::join!(counter.read(), leave).0
        };
        assert_eq!(joined.await, 0);
        assert_eq!(counter.reads.load(Ordering::Relaxed), 1);
    }
}
