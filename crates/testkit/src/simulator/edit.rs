//! Changing a JSON body as text, so that what is not changed keeps every digit and space.

use std::ops::Range;

/// One change to a body. A body that is not UTF-8 or not an array of objects where one is needed stays as it is.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Rename {
        field: String,
        to: String,
    },
    Remove {
        field: String,
    },
    Add {
        field: String,
        literal: String,
    },
    /// Puts the field's value between two texts, unless it is null or a string already.
    Wrap {
        field: String,
        before: &'static str,
        after: &'static str,
    },
    /// Sets a field of one item, or of all.
    Set {
        item: Option<usize>,
        field: String,
        literal: String,
    },
    /// Keeps the first so many per cent of the items, rounded up.
    Keep {
        percent: usize,
    },
    /// Appends copies of the first items, with the field set to another literal if one is given.
    Duplicate {
        count: usize,
        change: Option<(String, String)>,
    },
    /// Appends a text to every item's id.
    SuffixIds {
        suffix: String,
    },
    /// Bytes before the body.
    Prefix(&'static [u8]),
    /// Bytes at the beginning of the first `"name"`.
    IntoFirstName(&'static [u8]),
}

impl Edit {
    pub(crate) fn apply(&self, body: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Prefix(bytes) => [*bytes, &body].concat(),
            Self::IntoFirstName(bytes) => into_first_name(body, bytes),
            _ => match std::str::from_utf8(&body) {
                Ok(text) => self.edit_items(text).map_or_else(|| body.clone(), String::into_bytes),
                Err(_) => body,
            },
        }
    }

    fn edit_items(&self, text: &str) -> Option<String> {
        let (before, items, after) = split_array(text)?;
        let mut items: Vec<String> = items.into_iter().map(str::to_owned).collect();
        match self {
            Self::Keep { percent } => items.truncate((items.len() * percent).div_ceil(100)),
            Self::Duplicate { count, change } => {
                let copies = items.iter().take(*count).map(|item| match change {
                    Some((field, literal)) => replaced(item, field, |_| literal.clone()),
                    None => item.clone(),
                });
                items.extend(copies.collect::<Vec<_>>());
            }
            Self::Set { item: Some(position), field, literal } => {
                let item = items.get_mut(*position)?;
                *item = replaced(item, field, |_| literal.clone());
            }
            _ => items = items.iter().map(|item| self.edit_item(item)).collect(),
        }
        Some(format!("{before}{}{after}", items.join(",")))
    }

    fn edit_item(&self, item: &str) -> String {
        match self {
            Self::Rename { field, to } => match find(item, field) {
                Some(found) => spliced(item, found.key, &format!("\"{to}\"")),
                None => item.to_owned(),
            },
            Self::Remove { field } => removed(item, field),
            Self::Add { field, literal } => match item.rfind('}') {
                Some(end) => spliced(item, end..end, &format!(",\"{field}\":{literal}")),
                None => item.to_owned(),
            },
            Self::Wrap { field, before, after } => replaced(item, field, |value| {
                if value == "null" || value.starts_with('"') {
                    value.to_owned()
                } else {
                    format!("{before}{value}{after}")
                }
            }),
            Self::Set { field, literal, .. } => replaced(item, field, |_| literal.clone()),
            Self::SuffixIds { suffix } => replaced(item, "id", |id| {
                id.strip_suffix('"').map_or_else(|| id.to_owned(), |open| format!("{open}{suffix}\""))
            }),
            _ => item.to_owned(),
        }
    }
}

/// A field's name (with its quotes) and its value within an item.
struct Found {
    key: Range<usize>,
    value: Range<usize>,
}

fn find(item: &str, field: &str) -> Option<Found> {
    let quoted = format!("\"{field}\"");
    item.match_indices(&quoted).find_map(|(start, _)| {
        let key = start..start + quoted.len();
        let rest = item.get(key.end..)?;
        let colon = rest.trim_start().strip_prefix(':')?;
        let value = colon.trim_start();
        let from = item.len() - value.len();
        Some(Found { key, value: from..from + value_length(value) })
    })
}

fn replaced(item: &str, field: &str, change: impl FnOnce(&str) -> String) -> String {
    let Some(found) = find(item, field) else { return item.to_owned() };
    let value = change(item.get(found.value.clone()).unwrap_or_default());
    spliced(item, found.value, &value)
}

fn removed(item: &str, field: &str) -> String {
    let Some(found) = find(item, field) else { return item.to_owned() };
    let rest = item.get(found.value.end..).unwrap_or_default();
    let comma_behind = rest.len() - rest.trim_start().strip_prefix(',').unwrap_or(rest).len();
    if comma_behind > 0 {
        return spliced(item, found.key.start..found.value.end + comma_behind, "");
    }
    // The last field of its object: the comma to drop is the one before it.
    let before = item.get(..found.key.start).unwrap_or_default().trim_end();
    spliced(item, before.strip_suffix(',').unwrap_or(before).len()..found.value.end, "")
}

fn spliced(text: &str, range: Range<usize>, new: &str) -> String {
    let (before, after) =
        (text.get(..range.start).unwrap_or_default(), text.get(range.end..).unwrap_or_default());
    format!("{before}{new}{after}")
}

/// An array's text up to its first item, its items, and the rest.
fn split_array(text: &str) -> Option<(&str, Vec<&str>, &str)> {
    let open = text.find('[')? + 1;
    let mut rest = text.get(open..)?;
    let mut items = Vec::new();
    loop {
        let skipped = rest.trim_start();
        if skipped.is_empty() || skipped.starts_with(']') {
            return Some((text.get(..open)?, items, skipped));
        }
        let length = value_length(skipped);
        items.push(skipped.get(..length)?);
        let behind = skipped.get(length..)?.trim_start();
        rest = behind.strip_prefix(',').unwrap_or(behind);
        // Something that is neither an item nor an end: not an array after all.
        if length == 0 {
            return None;
        }
    }
}

/// Length of the JSON value a text begins with, without the space behind it.
fn value_length(text: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (position, byte) in text.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            if !in_string && depth == 0 {
                return position + 1;
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return position,
            b'}' | b']' if depth == 1 => return position + 1,
            b'}' | b']' => depth -= 1,
            b',' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => return position,
            _ => {}
        }
    }
    text.len()
}

fn into_first_name(body: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    const KEY: &[u8] = b"\"name\"";
    let Some(key) = body.windows(KEY.len()).position(|window| window == KEY) else { return body };
    let after_key = key + KEY.len();
    let quote = body.iter().skip(after_key).position(|byte| *byte == b'"');
    let Some(inside) = quote.map(|distance| after_key + distance + 1) else { return body };
    let (before, after) = body.split_at(inside);
    [before, bytes, after].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"[{"id":"a","name":"A, \"}] b","q":{"price":1.50,"x":null}}, {"id":"b","name":"B","q":{"price":2e-7}}]"#;

    fn edited(edit: &Edit) -> String {
        String::from_utf8(edit.apply(BODY.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn fields_are_changed_and_the_rest_is_not() {
        let set = Edit::Set { item: Some(1), field: "price".into(), literal: "1e400".into() };
        assert_eq!(edited(&set), BODY.replace(", {", ",{").replace("2e-7", "1e400"));
        let rename = Edit::Rename { field: "price".into(), to: "cost".into() };
        assert_eq!(edited(&rename), BODY.replace(", {", ",{").replace("\"price\"", "\"cost\""));
        let text = Edit::Wrap { field: "price".into(), before: "\"", after: "\"" };
        assert_eq!(
            edited(&text),
            BODY.replace(", {", ",{").replace("1.50", "\"1.50\"").replace("2e-7", "\"2e-7\"")
        );
    }

    #[test]
    fn a_removed_field_takes_one_comma_with_it() {
        let price = edited(&Edit::Remove { field: "price".into() });
        assert_eq!(price, r#"[{"id":"a","name":"A, \"}] b","q":{"x":null}},{"id":"b","name":"B","q":{}}]"#);
        let last = edited(&Edit::Remove { field: "x".into() });
        assert!(last.starts_with(r#"[{"id":"a","name":"A, \"}] b","q":{"price":1.50}}"#));
    }

    #[test]
    fn items_are_counted_right() {
        assert_eq!(
            edited(&Edit::Keep { percent: 10 }),
            r#"[{"id":"a","name":"A, \"}] b","q":{"price":1.50,"x":null}}]"#
        );
        let doubled = edited(&Edit::Duplicate { count: 2, change: Some(("price".into(), "3".into())) });
        assert_eq!(split_array(&doubled).unwrap().1.len(), 4);
        assert_eq!(doubled.matches("\"price\":3").count(), 2);
        assert!(edited(&Edit::SuffixIds { suffix: "-x".into() }).contains(r#""id":"b-x""#));
    }

    #[test]
    fn what_is_no_array_stays() {
        for body in ["{}", "", "[", "[}", "[1,2", "<html>"] {
            let kept = Edit::Keep { percent: 100 }.apply(body.as_bytes().to_vec());
            assert_eq!(String::from_utf8(kept).unwrap(), body);
        }
    }
}
