//! Who is let in, and how often: API keys and limits, both off unless they are configured.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

pub(crate) mod bucket;
mod client;
mod keys;

pub use self::bucket::Quota;
use self::bucket::{Bucket, Standing, WINDOW_SECS};
pub use self::keys::Keys;
use crate::problem::{Code, Problem};

/// Header with a key, beside `Authorization: Bearer`.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What is left to a client, as in draft-ietf-httpapi-ratelimit-headers-11 (a draft, not yet a standard).
pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What a client has, as in the same draft.
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Most clients that are told apart; those that were away longest are forgotten first.
const MAX_CLIENTS: u64 = 65_536;

/// Routes for supervisors, who have no key and must not be turned away.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

/// Routes that need no key: those that tell how to get on, and the health.
const OPEN: [&str; 8] =
    ["/", "/health", "/problems", "/problems/{code}", "/openapi.json", "/docs", "/docs/", "/docs/{file}"];

/// Who is let in, and how often.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// The keys that are known; without any, nobody needs one.
    pub keys: Arc<Keys>,
    /// Whether clients without a key are let in as well, by the limit of addresses.
    pub keys_optional: bool,
    /// The limit of each address, and of each key without one of its own; `None` for no limit.
    pub quota: Option<Quota>,
    /// Networks of the proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Whether a route needs no key.
pub(crate) fn is_open(route: &str) -> bool {
    PROBES.contains(&route) || OPEN.contains(&route)
}

/// Whether no limit holds for a route.
pub(crate) fn is_unlimited(route: &str) -> bool {
    PROBES.contains(&route)
}

impl Admission {
    /// Whether a client needs a key.
    pub(crate) fn needs_key(&self) -> bool {
        !self.keys.is_empty() && !self.keys_optional
    }
}

/// Lets clients in.
pub(crate) struct Gate {
    admission: Admission,
    buckets: moka::sync::Cache<IpAddr, Arc<Bucket>>,
    /// What the times in the buckets count from.
    begun: Instant,
}

/// What is left to a client that a limit holds for, for the headers of the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    policy: &'static str,
    standing: Standing,
}

impl Gate {
    /// A gate; `None` when there is nothing to guard.
    pub(crate) fn new(admission: &Admission) -> Option<Self> {
        if admission.keys.is_empty() && admission.quota.is_none() {
            return None;
        }
        let buckets = moka::sync::Cache::builder()
            .max_capacity(MAX_CLIENTS)
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            // Full again by then.
            .time_to_idle(Duration::from_secs(2 * WINDOW_SECS))
            .build();
        Some(Self { admission: admission.clone(), buckets, begun: Instant::now() })
    }

    /// Lets a request in or refuses it. `route` is its pattern.
    pub(crate) fn admit(
        &self,
        request: &ServiceRequest,
        route: &str,
    ) -> (Option<Ticket>, Result<(), Problem>) {
        if is_unlimited(route) {
            return (None, Ok(()));
        }
        let key = match sent_key(request.headers()) {
            _ if self.admission.keys.is_empty() => None,
            None => None,
            Some(sent) => match self.admission.keys.find(sent) {
                Some(key) => Some(key),
                // Guessing costs as much as asking.
                None => return self.charge_address(request, Err(unauthorized("the key is not known"))),
            },
        };
        match key {
            Some(key) => match key.quota.or(self.admission.quota) {
                Some(quota) => verdict("key", key.bucket.take(quota, self.begun.elapsed()), Ok(())),
                None => (None, Ok(())),
            },
            None if self.admission.needs_key() && !is_open(route) => {
                self.charge_address(request, Err(unauthorized("this route needs a key")))
            }
            None => self.charge_address(request, Ok(())),
        }
    }

    fn charge_address(
        &self,
        request: &ServiceRequest,
        outcome: Result<(), Problem>,
    ) -> (Option<Ticket>, Result<(), Problem>) {
        let (Some(quota), Some(peer)) = (self.admission.quota, request.peer_addr()) else {
            return (None, outcome);
        };
        let address = client::address(peer.ip(), request.headers(), &self.admission.trusted_proxies);
        let bucket = self.buckets.get_with(client::bucket_of(address), Arc::default);
        verdict("default", bucket.take(quota, self.begun.elapsed()), outcome)
    }
}

impl Ticket {
    /// Tells the client.
    pub(crate) fn put_on(&self, headers: &mut HeaderMap) {
        let Standing { quota, remaining, restored_in, .. } = self.standing;
        let policy = format!("\"{}\";q={quota};w={WINDOW_SECS}", self.policy);
        let limit = format!("\"{}\";r={remaining};t={}", self.policy, whole_seconds(restored_in));
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, limit)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

fn verdict(
    policy: &'static str,
    standing: Standing,
    outcome: Result<(), Problem>,
) -> (Option<Ticket>, Result<(), Problem>) {
    let outcome = match standing.retry_in {
        None => outcome,
        Some(wait) => {
            let seconds = whole_seconds(wait).max(1);
            let detail =
                format!("{} requests a minute are allowed; the next one in {seconds} s", standing.quota);
            Err(Problem::new(Code::TooManyRequests, detail).retry_after(seconds))
        }
    };
    (Some(Ticket { policy, standing }), outcome)
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(Code::Unauthorized, format!("{detail}: send one as `Authorization: Bearer` or `X-API-Key`"))
}

/// The key of a request, if it has one.
fn sent_key(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(API_KEY) {
        return Some(value.to_str().unwrap_or_default());
    }
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Rounded up: who waits that long is let in.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
