//! A token bucket in one number (the generic cell rate algorithm): the time at which the bucket would be full again.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Seconds of the window that a quota is told for.
pub(crate) const WINDOW_SECS: u64 = 60;

const WINDOW_NANOS: u64 = WINDOW_SECS * 1_000_000_000;

/// How many requests a client has: as many at once as in a minute, and then as they come back one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota(NonZeroU32);

/// What is left to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Requests a minute.
    pub(crate) quota: u32,
    /// Requests that would be let through now.
    pub(crate) remaining: u32,
    /// Until all of the quota is there again.
    pub(crate) restored_in: Duration,
    /// Until one request is let through; `None` when this one was.
    pub(crate) retry_in: Option<Duration>,
}

/// The bucket of one client: nanoseconds, since a moment that its keeper knows, at which it is full.
#[derive(Debug, Default)]
pub(crate) struct Bucket(AtomicU64);

impl Quota {
    /// So many requests a minute.
    pub const fn per_minute(requests: NonZeroU32) -> Self {
        Self(requests)
    }

    /// Requests a minute.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    fn nanos_per_request(self) -> u64 {
        (WINDOW_NANOS / u64::from(self.0.get())).max(1)
    }
}

impl Bucket {
    /// Takes a request out of the bucket if one is in it. `now` never goes back, by more than threads differ.
    pub(crate) fn take(&self, quota: Quota, now: Duration) -> Standing {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let price = quota.nanos_per_request();
        let capacity = price * u64::from(quota.get());
        let after = |full_at: u64| full_at.max(now) + price;
        let affordable = |full_at| Some(after(full_at)).filter(|after| after - now <= capacity);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, affordable) {
            Ok(before) => standing(quota, after(before) - now, None),
            Err(full_at) => {
                let wait = after(full_at) - now - capacity;
                standing(quota, full_at - now, Some(Duration::from_nanos(wait)))
            }
        }
    }
}

fn standing(quota: Quota, nanos_to_full: u64, retry_in: Option<Duration>) -> Standing {
    let price = quota.nanos_per_request();
    let taken = nanos_to_full.div_ceil(price);
    Standing {
        quota: quota.get(),
        remaining: u32::try_from(u64::from(quota.get()).saturating_sub(taken)).unwrap_or(u32::MAX),
        restored_in: Duration::from_nanos(nanos_to_full),
        retry_in,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(requests: u32) -> Quota {
        Quota::per_minute(NonZeroU32::new(requests).unwrap())
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(1_000.0 + seconds)
    }

    #[test]
    fn a_full_bucket_is_a_minute_of_requests() {
        let bucket = Bucket::default();
        for left in [2, 1, 0] {
            let standing = bucket.take(quota(3), at(0.0));
            assert_eq!((standing.remaining, standing.retry_in), (left, None));
        }
        let refused = bucket.take(quota(3), at(0.0));
        assert_eq!((refused.remaining, refused.retry_in), (0, Some(Duration::from_secs(20))));
        assert_eq!(refused.restored_in, Duration::from_secs(60));
    }

    #[test]
    fn requests_come_back_one_by_one_and_a_refusal_costs_nothing() {
        let bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(quota(3), at(0.0)).retry_in, None);
        }
        for tenth in 0..199 {
            assert!(bucket.take(quota(3), at(f64::from(tenth) / 10.0)).retry_in.is_some(), "{tenth}");
        }
        assert_eq!(bucket.take(quota(3), at(20.0)).retry_in, None);
        assert!(bucket.take(quota(3), at(20.0)).retry_in.is_some());
        // A minute of rest fills it, and not more than that.
        for left in [2, 1, 0] {
            assert_eq!(bucket.take(quota(3), at(500.0)).remaining, left);
        }
        assert!(bucket.take(quota(3), at(500.0)).retry_in.is_some());
    }

    #[test]
    fn many_threads_get_no_more_than_the_quota() {
        let bucket = Bucket::default();
        let allowed: usize = std::thread::scope(|scope| {
            let take = || (0..1_000).filter(|_| bucket.take(quota(700), at(0.0)).retry_in.is_none()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(allowed, 700);
    }
}
