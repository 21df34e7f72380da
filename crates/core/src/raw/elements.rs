//! Splits a JSON array into its elements without looking into them.
//!
//! One broken element (bad UTF-8, a lone surrogate, absurd nesting) must not cost the others, so the body is
//! not parsed as a whole.

/// Why a body is not an array of elements.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list is broken at byte {at}: {what}")]
pub struct BrokenList {
    /// Offset of the byte where it goes wrong.
    pub at: usize,
    what: &'static str,
}

/// The raw bytes of each element, without blanks around them.
///
/// # Errors
/// When the outside is not `[element, ...]` to the last byte.
pub fn split(body: &[u8]) -> Result<Vec<&[u8]>, BrokenList> {
    let mut cursor = Cursor { body, at: if body.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 } };
    let mut items = Vec::new();
    cursor.expect(b'[', "no list")?;
    if cursor.peek() == Some(b']') {
        cursor.at += 1;
    } else {
        loop {
            items.push(cursor.element()?);
            match cursor.peek() {
                Some(b',') => cursor.at += 1,
                Some(b']') => break cursor.at += 1,
                _ => return Err(cursor.broken("a comma or the end of the list was expected")),
            }
        }
    }
    match cursor.peek() {
        None => Ok(items),
        Some(_) => Err(cursor.broken("something follows the list")),
    }
}

struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn broken(&self, what: &'static str) -> BrokenList {
        BrokenList { at: self.at, what }
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        while self.body.get(self.at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.body.get(self.at).copied()
    }

    fn expect(&mut self, wanted: u8, what: &'static str) -> Result<(), BrokenList> {
        if self.peek() != Some(wanted) {
            return Err(self.broken(what));
        }
        self.at += 1;
        Ok(())
    }

    /// One element: up to the comma or bracket that stands at its own level, outside of strings.
    fn element(&mut self) -> Result<&'a [u8], BrokenList> {
        self.peek();
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(&byte) = self.body.get(self.at) {
            match byte {
                b'"' => self.skip_string()?,
                b'{' | b'[' => depth += 1,
                b',' | b']' if depth == 0 => break,
                b'}' | b']' => {
                    depth =
                        depth.checked_sub(1).ok_or_else(|| self.broken("a bracket that was not opened"))?;
                }
                _ => {}
            }
            self.at += 1;
        }
        if depth > 0 || self.at >= self.body.len() {
            return Err(self.broken("it breaks off"));
        }
        let element = self.body[start..self.at].trim_ascii_end();
        if element.is_empty() { Err(self.broken("an element is missing")) } else { Ok(element) }
    }

    /// Stops on the closing quote.
    fn skip_string(&mut self) -> Result<(), BrokenList> {
        loop {
            self.at += 1;
            match self.body.get(self.at) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.at += 1,
                Some(_) => {}
                None => return Err(self.broken("it breaks off inside a text")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> Vec<&str> {
        split(body.as_bytes()).unwrap().into_iter().map(|item| std::str::from_utf8(item).unwrap()).collect()
    }

    #[test]
    fn elements_are_found_whatever_is_in_them() {
        assert!(texts(" [ ] ").is_empty());
        assert_eq!(texts("\u{feff}[1, {\"a\":[1,2]} ,\"]\"\n]\n"), ["1", "{\"a\":[1,2]}", "\"]\""]);
        assert_eq!(texts(r#"[{"a":"\"},{"},{"b":"\\"}]"#), [r#"{"a":"\"},{"}"#, r#"{"b":"\\"}"#]);
    }

    #[test]
    fn a_bad_byte_stays_in_its_element() {
        assert_eq!(split(b"[{\"a\":\"\xff\"},2]").unwrap().len(), 2);
    }

    #[test]
    fn a_broken_outside_is_refused() {
        for body in [
            "",
            "{}",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1]x",
            "[1 2",
            "[\"a",
            "[{]",
            "[}]",
            "[1]]",
            "[{\"a\":1]",
        ] {
            assert!(split(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_serde_json(body in r#"[\[\]{},:"\\ 1an]{0,24}"#) {
            if let Ok(list) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(&body) {
                let raw: Vec<&[u8]> = list.iter().map(|item| item.get().as_bytes()).collect();
                proptest::prop_assert_eq!(split(body.as_bytes()).unwrap(), raw);
            }
        }

        #[test]
        fn every_prefix_of_a_list_is_broken(cut in 0usize..40) {
            let body = br#"[{"id":"a","q":{"x":[1,2]}},{"id":"b"}]"#;
            if cut < body.len() {
                proptest::prop_assert!(split(&body[..cut]).is_err());
            }
        }
    }
}
