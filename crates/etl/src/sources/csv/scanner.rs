//! Finds where records end, so that a file can be cut without being parsed.

pub(super) use kasparro_core::raw::line_ends;

/// The automaton of the `csv` crate (quote `"`, doubled to escape; any of CR, LF, CRLF ends a record; blank
/// lines are no records), reduced to record ends. A property test holds the two together.
pub(super) struct Scanner {
    state: State,
    delimiter: u8,
    /// Whether a byte can change the state within an unquoted cell.
    special: [bool; 256],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    RecordStart,
    CellStart,
    Unquoted,
    Quoted,
    /// Behind a quote within a quoted cell: its end, or the first half of an escaped quote.
    QuoteInQuoted,
}

impl Scanner {
    pub(super) fn new(delimiter: u8) -> Self {
        let mut special = [false; 256];
        for byte in [delimiter, b'\r', b'\n'] {
            special[usize::from(byte)] = true;
        }
        Self { state: State::RecordStart, delimiter, special }
    }

    /// Goes on until a record ends. `Some(n)` when `bytes[n - 1]` is the first byte of its line end;
    /// `None` when all bytes were taken before that.
    pub(super) fn record_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            self.state = match (self.state, byte) {
                (State::RecordStart, b'\r' | b'\n') => State::RecordStart,
                (State::RecordStart | State::CellStart, b'"') => State::Quoted,
                (State::QuoteInQuoted, b'"') => State::Quoted,
                (State::Quoted, b'"') => State::QuoteInQuoted,
                (State::Quoted, _) => State::Quoted,
                (_, b'\r' | b'\n') => {
                    self.state = State::RecordStart;
                    return Some(at);
                }
                (_, byte) if byte == self.delimiter => State::CellStart,
                _ => State::Unquoted,
            };
            at += self.skip(&bytes[at..]);
        }
        None
    }

    /// Bytes ahead that cannot change the state.
    fn skip(&self, ahead: &[u8]) -> usize {
        let stop = match self.state {
            State::Unquoted => ahead.iter().position(|byte| self.special[usize::from(*byte)]),
            State::Quoted => ahead.iter().position(|byte| *byte == b'"'),
            _ => Some(0),
        };
        stop.unwrap_or(ahead.len())
    }

    /// Whether the last byte taken was outside of any record.
    pub(super) fn between_records(&self) -> bool {
        self.state == State::RecordStart
    }

    /// Whether a quote is open.
    pub(super) fn in_quotes(&self) -> bool {
        self.state == State::Quoted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> Vec<usize> {
        let (mut scanner, mut at, mut ends) = (Scanner::new(b','), 0, Vec::new());
        while let Some(length) = scanner.record_end(&text.as_bytes()[at..]) {
            at += length;
            ends.push(at);
        }
        ends
    }

    #[test]
    fn records_end_where_no_quote_is_open() {
        assert_eq!(ends("a,b\nc,d\n"), [4, 8]);
        assert_eq!(ends("a,\"x\ny\"\nb"), [8]);
        assert_eq!(ends("a,\"x\"\"\n\"\nb\n"), [9, 11]);
        assert_eq!(ends("a, \"x\nb\n"), [6, 8], "a quote within a cell is text");
        assert_eq!(ends("\n\r\n\n"), [0_usize; 0], "blank lines are no records");
        assert_eq!(ends("a\r\r\nb\rc\r\n"), [2, 6, 8]);
        assert_eq!(ends(",\n"), [2]);
    }
}
