//! Ages and moments as people write them: `90s`, `5m`, `12h`, `7d`, `2w`, or a time in RFC 3339.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(pub(crate) TimeDelta);

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("{text:?} is not a whole number with one of s, m, h, d, w behind it");
        let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(problem)?;
        let unit_seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(problem()),
        };
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = number.parse::<i64>().ok().filter(|_| digits).and_then(|n| n.checked_mul(unit_seconds));
        // A thousand years: everything that is loaded is younger, and no sum with a time overflows.
        let seconds = seconds.filter(|seconds| (1..=31_557_600_000).contains(seconds)).ok_or_else(problem)?;
        Ok(Self(TimeDelta::seconds(seconds)))
    }
}

/// Where a list begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// At a time.
    Time(DateTime<Utc>),
    /// This long ago.
    Ago(Age),
}

impl Since {
    /// The moment, seen from `now`.
    pub(crate) fn moment(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Time(time) => time,
            Self::Ago(age) => now - age.0,
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Time(time.to_utc()));
        }
        let problem =
            |_| format!("{text:?} is neither a time (2026-01-31T00:00:00Z) nor an age (90m, 12h, 7d)");
        text.parse().map(Self::Ago).map_err(problem)
    }
}

/// An age for people, in its largest unit: `3 min`.
pub(crate) fn in_words(age: TimeDelta) -> String {
    let seconds = age.num_seconds();
    match seconds {
        i64::MIN..0 => "0 s".to_owned(),
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_moments() {
        for (text, seconds) in
            [("90s", 90), ("5m", 300), ("12h", 43_200), ("400d", 34_560_000), ("1w", 604_800)]
        {
            assert_eq!(text.parse::<Age>().unwrap().0.num_seconds(), seconds, "{text}");
        }
        for bad in ["", "d", "5", "5y", "-5d", "+5d", "1.5h", "0d", "99999999999d", "5\u{e9}", "\u{e9}"] {
            assert!(bad.parse::<Age>().is_err(), "{bad}");
        }
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        assert_eq!("1d".parse::<Since>().unwrap().moment(now).to_rfc3339(), "2026-01-01T00:00:00+00:00");
        let time: Since = "2026-01-01T01:00:00+01:00".parse().unwrap();
        assert_eq!(time.moment(now).to_rfc3339(), "2026-01-01T00:00:00+00:00");
        assert!("yesterday".parse::<Since>().is_err());
    }

    #[test]
    fn words() {
        for (seconds, words) in
            [(-5, "0 s"), (7, "7 s"), (180, "3 min"), (7300, "2 h"), (1_000_000, "11 days")]
        {
            assert_eq!(in_words(TimeDelta::seconds(seconds)), words);
        }
    }
}
