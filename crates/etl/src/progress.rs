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

    /// A line for one source.
    pub(crate) fn source(&self, name: &str) -> Line {
        let bar = self.0.add(ProgressBar::new_spinner());
        draw_as(&bar, OPEN_END);
        bar.set_prefix(name.to_owned());
        bar.set_message("asking");
        bar.enable_steady_tick(Duration::from_millis(125));
        Line(bar)
    }
}

/// The line of one source.
pub(crate) struct Line(ProgressBar);

impl Line {
    /// Shows how far it is.
    pub(crate) fn show(&self, batches: u64, tally: &Tally, reached: Option<Reached>) {
        let seconds = self.0.elapsed().as_secs_f64().max(0.001);
        let rate = grouped((tally.extracted() as f64 / seconds) as i64);
        let Some(reached) = reached else {
            return self.0.set_message(format!("batch {batches}: {}, {rate}/s", sentence(tally)));
        };
        if self.0.length().is_none() {
            draw_as(&self.0, WITH_END);
        }
        self.0.set_length(reached.of);
        self.0.set_position(reached.done);
        self.0.set_message(format!("{} records, {rate}/s", grouped(tally.extracted())));
    }
}

fn draw_as(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
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
