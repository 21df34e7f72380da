//! What surrounds every request of a listener, for all of its workers the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::HeaderValue;

use crate::cors::Cors;
use crate::gate::Gate;
use crate::metrics::Metrics;

/// What surrounds every request of a listener.
pub(crate) struct Edge {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) draining: Draining,
    /// Who is let in, and how often; `None` for everybody, always.
    pub(crate) gate: Option<Gate>,
    /// Which pages of other origins may read the answers; `None` for none.
    pub(crate) cors: Option<Cors>,
    /// `Strict-Transport-Security`, where TLS ends in front of the service.
    pub(crate) hsts: Option<HeaderValue>,
}

/// Whether the service is about to stop: nobody should be sent here any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on.
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Edge {
    /// The value of `Strict-Transport-Security` for so many seconds.
    pub(crate) fn hsts(seconds: u32) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("max-age={seconds}")).ok()
    }
}
