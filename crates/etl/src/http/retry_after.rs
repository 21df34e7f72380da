//! When a source wants to be asked again: every form that has been seen.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use ureq::http::HeaderMap;

/// How long the answer asks us to wait; `None` when it does not say or says it unreadably. A time in the
/// past is no wait.
///
/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3); else CoinGecko's `x-ratelimit-reset`, seen in the
/// form `2025-07-25 14:54:00 +0000` (coingecko/coingecko-typescript #42).
pub(super) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    header("retry-after")
        .and_then(|value| parse_retry_after(value, now))
        .or_else(|| header("x-ratelimit-reset").and_then(|value| parse_reset(value, now)))
}

fn parse_retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit is "for ever".
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))).min(FOR_EVER));
    }
    let date: SystemTime = httpdate::parse_http_date(value).ok()?;
    Some(until(date.into(), now))
}

fn parse_reset(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    DateTime::parse_from_str(value, "%Y-%m-%d %H:%M:%S %z").ok().map(|time| until(time.to_utc(), now))
}

/// Longer than anybody waits, and safe to add to a date.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn until(time: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (time - now).to_std().unwrap_or(Duration::ZERO).min(FOR_EVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &'static str, value: &str) -> Option<u64> {
        let now = "2025-07-25T14:53:00Z".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn every_form_that_was_seen() {
        assert_eq!(asked("retry-after", "119"), Some(119));
        assert_eq!(asked("retry-after", " 7 "), Some(7));
        assert_eq!(asked("retry-after", "0"), Some(0));
        assert_eq!(asked("retry-after", "Fri, 25 Jul 2025 14:53:30 GMT"), Some(30));
        assert_eq!(asked("retry-after", "Fri, 25 Jul 2025 14:52:30 GMT"), Some(0));
        assert_eq!(asked("x-ratelimit-reset", "2025-07-25 14:54:00 +0000"), Some(60));
        assert_eq!(
            asked("retry-after", "99999999999999999999999"),
            Some(u64::from(u32::MAX).min(FOR_EVER.as_secs()))
        );
        for garbage in ["-5", "soon", "1.5", "", "Fri, 99 Jul"] {
            assert_eq!(asked("retry-after", garbage), None, "{garbage}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(value in "[ -~]{0,40}") {
            let _ = asked("retry-after", &value);
            let _ = asked("x-ratelimit-reset", &value);
        }
    }
}
