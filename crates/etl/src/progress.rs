//! What a person sees while a run is going on: a line per source on a terminal, nothing elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kasparro_core::store::run::Tally;

use crate::source::Reached;

/// While nobody knows how much there is.
const OPEN_END: &str = "{spinner} {prefix:12} {msg}  {elapsed}";
const WITH_END: &str = "{spinner} {prefix:12} {bar:14} {percent:>3}% {msg}, {eta} left";

/// The display; on anything but a terminal it draws nothing.
#[derive(Clone)]
pub(crate) struct Progress(MultiProgress);

impl Progress {
    pub(crate) fn new() -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(8)
        } else {
            ProgressDrawTarget::hidden()
        };
        Self(MultiProgress::with_draw_target(target))
    }

    /// Takes the display away while something is printed.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }

    /// Whether there is anybody to look.
    pub(crate) fn is_shown(&self) -> bool {
        !self.0.is_hidden()
    }

    /// A line for one source, of which so many records are expected.
    pub(crate) fn source(&self, name: &str, expected: Option<u64>) -> Line {
        let bar = self.0.add(ProgressBar::new_spinner());
        draw_as(&bar, OPEN_END);
        bar.set_prefix(name.to_owned());
        bar.set_message("asking");
        bar.enable_steady_tick(Duration::from_millis(125));
        Line { bar, expected }
    }
}

/// The line of one source.
pub(crate) struct Line {
    bar: ProgressBar,
    expected: Option<u64>,
}

impl Line {
    /// Shows how far it is.
    pub(crate) fn show(&self, batches: u64, tally: &Tally, reached: Option<Reached>) {
        let seconds = self.bar.elapsed().as_secs_f64().max(0.001);
        let rate = grouped((tally.extracted() as f64 / seconds) as i64);
        let Some(reached) = reached.or_else(|| self.by_expectation(tally)) else {
            return self.bar.set_message(format!("batch {batches}: {}, {rate}/s", sentence(tally)));
        };
        if self.bar.length().is_none() {
            draw_as(&self.bar, WITH_END);
        }
        self.bar.set_length(reached.of);
        self.bar.set_position(reached.done);
        self.bar.set_message(format!("{} records, {rate}/s", grouped(tally.extracted())));
    }

    /// A listing does not say how long it is; it is about as long as the last time.
    fn by_expectation(&self, tally: &Tally) -> Option<Reached> {
        let done = u64::try_from(tally.extracted()).ok()?;
        self.expected.map(|expected| Reached { done, of: expected.max(done) })
    }
}

fn draw_as(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What became of records, in words; parts that are zero are left out.
pub(crate) fn sentence(tally: &Tally) -> String {
    let parts = [
        (tally.loaded, "new"),
        (tally.restated, "restated"),
        (tally.unchanged, "unchanged"),
        (tally.duplicate, "duplicate"),
        (tally.rejected, "rejected"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{} {name}", grouped(*count)))
        .collect();
    match tally.extracted() {
        0 => "no records".to_owned(),
        1 => format!("1 record: {}", parts.join(", ")),
        all => format!("{} records: {}", grouped(all), parts.join(", ")),
    }
}

/// A number with a comma between thousands.
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        assert_eq!(sentence(&Tally::default()), "no records");
        let tally = Tally { loaded: 1_234_567, rejected: 3, ..Tally::default() };
        assert_eq!(sentence(&tally), "1,234,570 records: 1,234,567 new, 3 rejected");
        assert_eq!(sentence(&Tally { unchanged: 1, ..Tally::default() }), "1 record: 1 unchanged");
    }
}
