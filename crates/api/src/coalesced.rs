//! One read for the requests that wait for the same, or for the like, at the same time (request coalescing).
//!
//! A request joins a read only until that begins, so what it is given was read after it came: nobody sees an older
//! state for having joined. Few reads of a name run at a time; who comes meanwhile waits for a turn together, which is
//! what makes the reads worth sharing under load.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use actix_web::rt::time::timeout;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How many reads of a name run at a time: one is being answered by the database while another one is rendered.
const TURNS: usize = 2;

/// Longest wait for a turn. A read that takes longer is not sped up by waiting for it, and a database that hangs must
/// not be waited for twice.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// The reads that have not ended, by what they read; for every worker the same. Each request joins with a key, which
/// tells the read what it wants in particular.
pub(crate) struct Coalesced<K, T>(Arc<Reads<K, T>>);

type Reads<K, T> = Mutex<HashMap<String, Place<K, T>>>;

/// The reads of one name.
struct Place<K, T> {
    /// The one that has not begun.
    waiting: Option<Waiting<K, T>>,
    turns: Arc<Semaphore>,
}

struct Waiting<K, T> {
    keys: Vec<K>,
    outcome: watch::Receiver<Option<T>>,
}

/// A read that can be joined until it begins, or is given up.
pub(crate) struct Joinable<K, T> {
    reads: Arc<Reads<K, T>>,
    name: String,
    outcome: watch::Receiver<Option<T>>,
    keys: OnceLock<Vec<K>>,
}

/// A read of a name from its first request to its end.
struct Running<K, T> {
    reads: Arc<Reads<K, T>>,
    name: String,
    turns: Arc<Semaphore>,
    turn: Option<OwnedSemaphorePermit>,
}

impl<K, T> Default for Coalesced<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone, T: Clone> Coalesced<K, T> {
    /// What `read` finds, or what a read of the same name finds that has not begun. `read` says when it begins.
    pub(crate) async fn read<F, R>(&self, name: &str, key: K, read: F) -> T
    where
        F: FnOnce(Joinable<K, T>) -> R,
        R: Future<Output = T>,
    {
        let (sender, turns) = loop {
            let mut joined = match self.join(name, key.clone()) {
                Ok(joined) => joined,
                Err(begun) => break begun,
            };
            // The request whose read it was may have gone away; then this one goes on by itself.
            if let Ok(Some(outcome)) = joined.wait_for(Option::is_some).await.as_deref() {
                return outcome.clone();
            }
        };
        let mut running = Running { reads: Arc::clone(&self.0), name: name.to_owned(), turns, turn: None };
        let joinable = Joinable {
            reads: Arc::clone(&self.0),
            name: name.to_owned(),
            outcome: sender.subscribe(),
            keys: OnceLock::new(),
        };
        running.wait_for_turn().await;
        let outcome = read(joinable).await;
        sender.send_replace(Some(outcome.clone()));
        outcome
    }

    /// A read to wait for, or the place of a new one.
    #[allow(clippy::type_complexity, reason = "named nowhere else")]
    fn join(
        &self,
        name: &str,
        key: K,
    ) -> Result<watch::Receiver<Option<T>>, (watch::Sender<Option<T>>, Arc<Semaphore>)> {
        let mut reads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match reads.get_mut(name) {
            Some(place) => place,
            None => reads.entry(name.to_owned()).or_default(),
        };
        if let Some(waiting) = place.waiting.as_mut().filter(|waiting| waiting.outcome.has_changed().is_ok())
        {
            waiting.keys.push(key);
            return Ok(waiting.outcome.clone());
        }
        let (sender, outcome) = watch::channel(None);
        place.waiting = Some(Waiting { keys: vec![key], outcome });
        Err((sender, Arc::clone(&place.turns)))
    }
}

impl<K, T> Default for Place<K, T> {
    fn default() -> Self {
        Self { waiting: None, turns: Arc::new(Semaphore::new(TURNS)) }
    }
}

impl<K, T> Joinable<K, T> {
    /// Who comes from now on has to read for itself. Returns the keys of who has joined, the same each time.
    pub(crate) fn begin(&self) -> &[K] {
        self.keys.get_or_init(|| {
            let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
            let own = |waiting: &mut Waiting<K, T>| waiting.outcome.same_channel(&self.outcome);
            let waiting = reads.get_mut(&self.name).and_then(|place| place.waiting.take_if(own));
            waiting.map(|waiting| waiting.keys).unwrap_or_default()
        })
    }
}

impl<K, T> Drop for Joinable<K, T> {
    fn drop(&mut self) {
        self.begin();
        leave(&self.reads, &self.name);
    }
}

impl<K, T> Running<K, T> {
    async fn wait_for_turn(&mut self) {
        let turns = Arc::clone(&self.turns);
        self.turn = match Arc::clone(&turns).try_acquire_owned() {
            Ok(turn) => Some(turn),
            Err(_) => timeout(LONGEST_WAIT, turns.acquire_owned()).await.ok().and_then(Result::ok),
        };
    }
}

impl<K, T> Drop for Running<K, T> {
    fn drop(&mut self) {
        self.turn = None;
        leave(&self.reads, &self.name);
    }
}

/// Leaves nothing behind after the last of a name.
fn leave<K, T>(reads: &Reads<K, T>, name: &str) {
    let mut reads = reads.lock().unwrap_or_else(PoisonError::into_inner);
    let is_empty = |place: &Place<K, T>| {
        place.turns.available_permits() == TURNS
            && place.waiting.as_ref().is_none_or(|waiting| waiting.outcome.has_changed().is_err())
    };
    if reads.get(name).is_some_and(is_empty) {
        reads.remove(name);
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
        coalesced: Coalesced<(), usize>,
    }

    impl Counter {
        fn new() -> Self {
            let (reads, coalesced) = (AtomicUsize::new(0), Coalesced::default());
            Self { reads, begin: Notify::new(), end: Notify::new(), coalesced }
        }

        async fn read(&self) -> usize {
            let read = async |joinable: Joinable<(), usize>| {
                self.begin.notified().await;
                joinable.begin();
                let before = self.reads.fetch_add(1, Ordering::Relaxed);
                self.end.notified().await;
                before
            };
            self.coalesced.read("a", (), read).await
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

    /// A read that hangs once it has begun, noting the keys that it is told.
    async fn hang(coalesced: &Coalesced<u8, ()>, key: u8, begun: &Mutex<Vec<Vec<u8>>>) {
        let read = async |joinable: Joinable<u8, ()>| {
            begun.lock().unwrap().push(joinable.begin().to_vec());
            std::future::pending().await
        };
        coalesced.read("a", key, read).await;
    }

    #[actix_web::test]
    async fn who_waits_for_a_turn_waits_together_and_not_longer_than_a_read_may_take() {
        let (coalesced, begun) = (Coalesced::default(), Mutex::default());
        let mut hanging: Vec<_> =
            [1, 2, 3, 4].map(|key| Box::pin(hang(&coalesced, key, &begun))).into_iter().collect();
        poll_fn(|context| {
            for read in &mut hanging {
                assert!(read.as_mut().poll(context).is_pending());
            }
            match begun.lock().unwrap().len() {
                3.. => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
        assert_eq!(*begun.lock().unwrap(), [vec![1], vec![2], vec![3, 4]]);
        drop(hanging);
        assert!(coalesced.0.lock().unwrap().is_empty(), "nothing is left behind");
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
