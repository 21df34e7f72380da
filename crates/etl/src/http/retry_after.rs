//! When a source wants to be asked again: every form that has been seen.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use ureq::http::HeaderMap;

/// How long the answer asks us to wait; `None` when it does not say or says it unreadably. A time in the
/// past is no wait, and no more than [`LONGEST`] is believed.
///
/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3); else CoinGecko's `x-ratelimit-reset`, seen in the
/// form `2025-07-25 14:54:00 +0000` (coingecko/coingecko-typescript #42).
pub(super) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let asked = |name: &str, parse: fn(&str, DateTime<Utc>) -> Option<Duration>| {
        let value = headers.get(name)?.to_str().ok()?.trim();
        parse(value, now).map(|wait| believed(name, value, wait))
    };
    asked("retry-after", parse_retry_after).or_else(|| asked("x-ratelimit-reset", parse_reset))
}

/// Longest wait that is believed: a quota that is longer than a day has its own ledger, and a slip of the source must not
/// lock it out for years.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

fn believed(name: &str, value: &str, wait: Duration) -> Duration {
    if wait > LONGEST {
        let value: String = value.chars().take(60).collect();
        log::warn!("{name}: {value:?} is longer than a day; it is taken for a day");
    }
    wait.min(LONGEST)
}

fn parse_retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit is "for ever".
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date: SystemTime = httpdate::parse_http_date(value).ok()?;
    Some(until(date.into(), now))
}

fn parse_reset(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    DateTime::parse_from_str(value, "%Y-%m-%d %H:%M:%S %z").ok().map(|time| until(time.to_utc(), now))
}

fn until(time: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (time - now).to_std().unwrap_or(Duration::ZERO)
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
        let a_day = Some(24 * 3600);
        for too_long in ["86401", "99999999999999999999999", "Fri, 25 Jul 2036 14:53:30 GMT"] {
            assert_eq!(asked("retry-after", too_long), a_day, "{too_long}");
        }
        assert_eq!(asked("x-ratelimit-reset", "2036-07-25 14:54:00 +0000"), a_day);
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
