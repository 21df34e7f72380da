//! Reading parameters: typed, bounded, and strict about everything else.
//!
//! All problems of a request are reported together, each with what is allowed and the word that was probably
//! meant. Nothing is silently ignored: a parameter that does nothing is a filter that was not applied.

use std::ops::RangeInclusive;

use actix_web::HttpRequest;
use chrono::{DateTime, Datelike as _, Utc};
use kasparro_core::Decimal;

use crate::problem::{Code, ParameterError, Problem};
use crate::spelling;

/// Longest text that a parameter may have, in characters; the ids of the sources have up to 100.
pub(crate) const MAX_TEXT_CHARS: usize = 256;

/// Most items of a list.
pub(crate) const MAX_ITEMS: usize = 50;

/// A parameter that takes one of a few words.
pub(crate) trait Choice: Copy + 'static {
    /// The words with their meaning; the first one is the default.
    const ALL: &'static [(&'static str, Self)];
}

/// The parameters of a request, taken one by one.
#[derive(Debug)]
pub(crate) struct Params {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    errors: Vec<ParameterError>,
}

impl Params {
    /// Decodes the query of a request.
    pub(crate) fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let mut given = Vec::new();
        for pair in request.query_string().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            given.push((decode(name, true)?, decode(value, true)?));
        }
        Ok(Self { given, known: Vec::new(), errors: Vec::new() })
    }

    /// A text of at most `max` characters.
    pub(crate) fn text(&mut self, name: &'static str, max: usize) -> Option<String> {
        let value = self.take(name)?;
        match check_text(&value, max) {
            Ok(()) => Some(value),
            Err(message) => {
                self.refuse(name, message, text_allowed(max));
                None
            }
        }
    }

    /// Texts between commas, sorted, each once.
    pub(crate) fn list(&mut self, name: &'static str) -> Option<Vec<String>> {
        let value = self.take(name)?;
        let mut items: Vec<String> = value.split(',').map(str::to_owned).collect();
        let too_many = (items.len() > MAX_ITEMS).then(|| "it holds too many items".to_owned());
        items.sort_unstable();
        items.dedup();
        let checked = items.iter().find_map(|item| match item.as_str() {
            "" => Some("it holds an empty item".to_owned()),
            item => check_text(item, MAX_TEXT_CHARS).err(),
        });
        match checked.or(too_many) {
            None => Some(items),
            Some(message) => {
                self.refuse(
                    name,
                    message,
                    format!("1 to {MAX_ITEMS} items between commas, each {}", text_allowed(MAX_TEXT_CHARS)),
                );
                None
            }
        }
    }

    /// Some of a few words, between commas.
    pub(crate) fn words(&mut self, name: &'static str, known: &[&str]) -> Option<Vec<String>> {
        let items = self.list(name)?;
        for item in items.iter().filter(|item| !known.contains(&item.as_str())) {
            self.refuse_word(name, item, known);
        }
        Some(items)
    }

    /// A moment with its time zone.
    pub(crate) fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let value = self.take(name)?;
        let time = DateTime::parse_from_rfc3339(&value).map(|time| time.to_utc()).ok();
        let time = time.filter(|time| (1..=9999).contains(&time.year()));
        if time.is_none() {
            self.refuse(
                name,
                not_allowed(&value),
                "a time as in 2026-11-23T15:00:00Z (a `+` is sent as %2B)",
            );
        }
        time
    }

    /// An amount that is not negative.
    pub(crate) fn amount(&mut self, name: &'static str) -> Option<Decimal> {
        let value = self.take(name)?;
        let amount = Decimal::parse(&value).ok().filter(|amount| !amount.is_negative());
        if amount.is_none() {
            self.refuse(name, not_allowed(&value), "a number from 0, in plain notation or with an exponent");
        }
        amount
    }

    /// Two bounds, of which the first must not lie above the second.
    pub(crate) fn ordered<T: Ord>(
        &mut self,
        names: [&'static str; 2],
        bounds: [Option<T>; 2],
    ) -> [Option<T>; 2] {
        if let [Some(least), Some(most)] = &bounds
            && least > most
        {
            self.refuse(names[0], format!("it lies above `{}`", names[1]), format!("at most `{}`", names[1]));
        }
        bounds
    }

    /// A whole number.
    pub(crate) fn number(&mut self, name: &'static str, range: RangeInclusive<u32>, default: u32) -> u32 {
        let Some(value) = self.take(name) else { return default };
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        match value.parse().ok().filter(|number| digits && range.contains(number)) {
            Some(number) => number,
            None => {
                let allowed = format!("a whole number from {} to {}", range.start(), range.end());
                self.refuse(name, not_allowed(&value), allowed);
                default
            }
        }
    }

    /// One of a few words, or the first of them.
    pub(crate) fn choice<C: Choice>(&mut self, name: &'static str) -> C {
        let (_, default) = C::ALL[0];
        self.optional_choice(name).unwrap_or(default)
    }

    /// One of a few words.
    pub(crate) fn optional_choice<C: Choice>(&mut self, name: &'static str) -> Option<C> {
        let value = self.take(name)?;
        let found = C::ALL.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
        if found.is_none() {
            let words: Vec<&str> = C::ALL.iter().map(|(word, _)| *word).collect();
            self.refuse_word(name, &value, &words);
        }
        found
    }

    /// Notes that a parameter cannot be accepted.
    pub(crate) fn refuse(&mut self, name: &str, message: impl Into<String>, allowed: impl Into<String>) {
        self.errors.push(ParameterError {
            parameter: shown(name),
            message: message.into(),
            allowed: allowed.into(),
        });
    }

    /// Notes that a word is none of the known ones.
    fn refuse_word(&mut self, name: &str, value: &str, words: &[&str]) {
        self.errors.push(unknown_word(name, value, words));
    }

    /// Ends the reading: what was not taken is not known here.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        let unknown: Vec<String> = self.given.iter().map(|(name, _)| name.clone()).collect();
        for name in unknown {
            let message = match spelling::closest(&name, &self.known) {
                Some(meant) => format!("there is no such parameter: did you mean `{meant}`?"),
                None => "there is no such parameter".to_owned(),
            };
            let allowed = match self.known.as_slice() {
                [] => "no parameters".to_owned(),
                known => format!("one of {}", known.join(", ")),
            };
            self.refuse(&name, message, allowed);
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::parameters(self.errors)) }
    }

    /// The only value of a parameter.
    fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let mut values: Vec<String> =
            self.given.extract_if(.., |(given, _)| given == name).map(|(_, value)| value).collect();
        if values.len() > 1 {
            self.refuse(name, "it is given more than once", "once");
        }
        let value = values.pop()?;
        if value.is_empty() {
            self.refuse(name, "it is empty", "a value, or leave the parameter out");
            return None;
        }
        Some(value)
    }
}

/// Refuses whatever parameters a route without parameters was given.
pub(crate) fn none(request: &HttpRequest) -> Result<(), Problem> {
    Params::of(request)?.finish()
}

/// The last segment of the path, decoded here because the library would repair broken bytes silently.
pub(crate) fn path_text(request: &HttpRequest, name: &str) -> Result<String, Problem> {
    path_text_within(request, name, MAX_TEXT_CHARS)
}

/// The same, of at most `max` characters.
pub(crate) fn path_text_within(request: &HttpRequest, name: &str, max: usize) -> Result<String, Problem> {
    segment(request, name, 0, max)
}

/// A segment of the path, so many before the last one.
pub(crate) fn path_segment(request: &HttpRequest, name: &str, from_end: usize) -> Result<String, Problem> {
    segment(request, name, from_end, MAX_TEXT_CHARS)
}

fn segment(request: &HttpRequest, name: &str, from_end: usize, max: usize) -> Result<String, Problem> {
    let path = request.uri().path();
    let segment = path.rsplit('/').nth(from_end).unwrap_or_default();
    let value = decode(segment, false)?;
    check_text(&value, max).map(|()| value).map_err(|message| {
        Problem::parameters(vec![ParameterError {
            parameter: name.to_owned(),
            message,
            allowed: text_allowed(max),
        }])
    })
}

/// A word that is none of the known ones, as an error.
pub(crate) fn unknown_word(name: &str, value: &str, words: &[&str]) -> ParameterError {
    let message = match spelling::closest(value, words) {
        Some(meant) => format!("{}: did you mean `{meant}`?", not_allowed(value)),
        None => not_allowed(value),
    };
    ParameterError { parameter: name.to_owned(), message, allowed: format!("one of {}", words.join(", ")) }
}

fn not_allowed(value: &str) -> String {
    format!("`{}` is not allowed", shown(value))
}

/// What was sent, short enough to be sent back.
fn shown(value: &str) -> String {
    const MOST: usize = 40;
    let clean = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    let mut text: String = value.chars().take(MOST).map(clean).collect();
    if value.chars().nth(MOST).is_some() {
        text.push('…');
    }
    text
}

fn check_text(value: &str, max: usize) -> Result<(), String> {
    if value.chars().any(char::is_control) {
        return Err("it holds a control character".to_owned());
    }
    if value.chars().nth(max).is_some() {
        return Err("it is too long".to_owned());
    }
    Ok(())
}

fn text_allowed(max: usize) -> String {
    format!("text of 1 to {max} characters without control characters")
}

/// Undoes percent-encoding; in a query `+` is a blank as well.
fn decode(text: &str, plus_is_blank: bool) -> Result<String, Problem> {
    let malformed = |what: &str| Problem::new(Code::MalformedRequest, format!("the address {what}"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(malformed("holds a `%` without two hexadecimal digits")),
                }
            }
            b'+' if plus_is_blank => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| malformed("is not UTF-8 when decoded"))
}
