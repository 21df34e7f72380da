//! The contract of a JSON source: which fields its records have, of which types, and what is done without them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use kasparro_core::store::drift::NewDrift;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::items;

/// The fields of a record. Null and an empty text are "not known" in every one of them.
pub(crate) struct Contract(pub(crate) &'static [Expected]);

/// A field that a record has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Dots between the names of nested objects.
    pub(crate) path: &'static str,
    pub(crate) json: Type,
    pub(crate) presence: Presence,
}

/// The types of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Number,
    Flag,
    Object,
    List,
}

/// What it means that no record of a body has the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The source cannot be read: nothing of the body is published.
    Required,
    /// The format has changed, which is on record; the values are not known.
    Usual,
    /// Nothing: the plan or the request decides.
    Optional,
}

/// A field that the source cannot be read without.
pub(super) const fn required(path: &'static str, json: Type) -> Expected {
    Expected { path, json, presence: Presence::Required }
}

/// A field that has always been there.
pub(super) const fn usual(path: &'static str, json: Type) -> Expected {
    Expected { path, json, presence: Presence::Usual }
}

/// A field that comes and goes.
pub(super) const fn optional(path: &'static str, json: Type) -> Expected {
    Expected { path, json, presence: Presence::Optional }
}

/// Records that are looked at, spread over the body: formats change for all. Only when none of them has a field that
/// they should have are all of them looked at.
const SAMPLE: usize = 1_000;

/// Longest evidence, and longest name of a field that is not known, in bytes.
const EVIDENCE_BYTES: usize = 300;

/// Fields of one body that are not known and noted. Where keys are data, such as ids, there is no end of them.
const MOST_UNKNOWN: usize = 100;

impl Contract {
    /// How a body differs from the contract.
    pub(crate) fn drifts(&self, body: &[u8]) -> Vec<NewDrift> {
        let elements = items::split(body).unwrap_or_default();
        let step = elements.len().div_ceil(SAMPLE).max(1);
        let sample: Vec<&[u8]> = elements.iter().step_by(step).copied().collect();
        let drifts = self.compare(&sample);
        if step > 1 && drifts.iter().any(|drift| drift.kind == MISSING) {
            self.compare(&elements)
        } else {
            drifts
        }
    }

    fn compare(&self, elements: &[&[u8]]) -> Vec<NewDrift> {
        let mut look = Look::new(self);
        for element in elements {
            look.at(element);
        }
        look.drifts(elements.first().copied())
    }

    /// The field of this path.
    pub(crate) fn find(&self, path: &str) -> Option<&Expected> {
        self.0.iter().find(|expected| expected.path == path)
    }
}

/// Names of the kinds of drift, as stored.
pub(crate) const UNKNOWN: &str = "unknown";
pub(crate) const MISSING: &str = "missing";
const RETYPED: &str = "retyped";

/// What the records have, compared with the contract.
struct Look<'c> {
    contract: &'c Contract,
    places: HashMap<&'static str, usize>,
    seen: Vec<bool>,
    /// A record that could be read: without one nothing is missing.
    any: bool,
    unknown: BTreeMap<String, String>,
    retyped: BTreeMap<usize, String>,
}

impl<'c> Look<'c> {
    fn new(contract: &'c Contract) -> Self {
        Self {
            contract,
            places: contract.0.iter().enumerate().map(|(place, expected)| (expected.path, place)).collect(),
            seen: vec![false; contract.0.len()],
            any: false,
            unknown: BTreeMap::new(),
            retyped: BTreeMap::new(),
        }
    }

    fn at(&mut self, element: &[u8]) {
        // What cannot be read is refused as a record.
        let Ok(entries) = serde_json::from_slice::<Entries<'_>>(element) else { return };
        self.any = true;
        for (key, value) in &entries.0 {
            self.at_field(key, key, value);
        }
    }

    fn at_field(&mut self, key: &str, path: &str, value: &RawValue) {
        // A dot stands between keys; one that has a dot itself is none of those that are known.
        let Some(&place) = self.places.get(path).filter(|_| !key.contains('.')) else {
            self.note_unknown(beginning(path).replace('\0', "\u{fffd}"), value);
            return;
        };
        self.seen[place] = true;
        let Some(found) = type_of(value.get()) else { return };
        if found != self.contract.0[place].json {
            self.retyped.entry(place).or_insert_with(|| excerpt(value.get()));
        } else if found == Type::Object && self.has_inside(path) {
            for (key, inner) in serde_json::from_str::<Entries<'_>>(value.get()).unwrap_or_default().0 {
                self.at_field(&key, &format!("{path}.{key}"), inner);
            }
        }
    }

    fn note_unknown(&mut self, path: String, value: &RawValue) {
        if self.unknown.len() < MOST_UNKNOWN {
            self.unknown.entry(path).or_insert_with(|| excerpt(value.get()));
        }
    }

    fn has_inside(&self, path: &str) -> bool {
        let inside =
            |expected: &Expected| expected.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        self.contract.0.iter().any(inside)
    }

    fn drifts(self, first: Option<&[u8]>) -> Vec<NewDrift> {
        let drift = |field: &str, kind, required, evidence| NewDrift {
            field: field.to_owned(),
            kind,
            required,
            evidence,
            suggestion: None,
        };
        let mut drifts = Vec::new();
        for (place, expected) in self.contract.0.iter().enumerate() {
            let is_required = expected.presence == Presence::Required;
            if let Some(evidence) = self.retyped.get(&place) {
                drifts.push(drift(expected.path, RETYPED, is_required, evidence.clone()));
            }
            let is_missing = self.any && !self.seen[place] && expected.presence != Presence::Optional;
            // A lost object says it for what was in it.
            if is_missing && (is_required || self.has_parent(expected.path)) {
                let evidence = excerpt(&String::from_utf8_lossy(first.unwrap_or_default()));
                drifts.push(drift(expected.path, MISSING, is_required, evidence));
            }
        }
        drifts.extend(self.unknown.iter().map(|(field, value)| drift(field, UNKNOWN, false, value.clone())));
        drifts
    }

    fn has_parent(&self, path: &str) -> bool {
        let parent = path.rsplit_once('.').and_then(|(parent, _)| self.places.get(parent));
        parent.is_none_or(|place| self.seen[*place])
    }
}

/// The entries of a JSON object, values unread.
#[derive(Default)]
pub(super) struct Entries<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    entries.push((entry.0.0, entry.1));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A key, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The type of a JSON value; `None` for null and the empty text, which say nothing.
pub(super) fn type_of(json: &str) -> Option<Type> {
    match json.as_bytes().first()? {
        b'"' if json.len() > 2 => Some(Type::Text),
        b'{' => Some(Type::Object),
        b'[' => Some(Type::List),
        b't' | b'f' => Some(Type::Flag),
        b'-' | b'0'..=b'9' => Some(Type::Number),
        _ => None,
    }
}

/// The beginning of a value, on one line and without what Postgres does not take.
fn excerpt(text: &str) -> String {
    beginning(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(EVIDENCE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: Contract = Contract(&[
        required("id", Type::Text),
        usual("name", Type::Text),
        usual("in", Type::Object),
        required("in.price", Type::Number),
        usual("in.volume", Type::Number),
        optional("supply", Type::Number),
    ]);

    fn drifts(body: &str) -> Vec<(String, &'static str)> {
        CONTRACT.drifts(body.as_bytes()).into_iter().map(|drift| (drift.field, drift.kind)).collect()
    }

    fn want(list: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
        list.iter().map(|(field, kind)| ((*field).to_owned(), *kind)).collect()
    }

    #[test]
    fn a_body_that_keeps_the_contract_has_no_drift() {
        let good = r#"{"id":"a","name":null,"in":{"price":"","volume":1}}"#;
        assert_eq!(drifts(&format!("[{good}]")), []);
        assert_eq!(
            drifts(&format!(r#"[{good},{{"id":"b"}},broken,7]"#)),
            [],
            "one that has the field is enough"
        );
        for empty in ["[]", "no list", "[7]"] {
            assert_eq!(drifts(empty), [], "{empty}");
        }
    }

    #[test]
    fn unknown_missing_and_retyped_fields_are_told() {
        let body = r#"[{"id":7,"in":{"cost":1,"volume":"1"},"n\u0061me":"x","extra":[1]}]"#;
        assert_eq!(
            drifts(body),
            want(&[
                ("id", RETYPED),
                ("in.price", MISSING),
                ("in.volume", RETYPED),
                ("extra", UNKNOWN),
                ("in.cost", UNKNOWN)
            ])
        );
        assert_eq!(drifts(r#"[{"id":"a","name":"x"}]"#), want(&[("in", MISSING), ("in.price", MISSING)]));
    }

    #[test]
    fn names_that_are_unusual_are_unknown_fields() {
        let good = r#""id":"a","name":"x","in":{"price":1,"volume":1}"#;
        let body = format!(r#"[{{{good},"in.price":5,"a\u0000":1,"{}":1}}]"#, "n".repeat(9_000));
        let long = "n".repeat(EVIDENCE_BYTES);
        assert_eq!(drifts(&body), want(&[("a\u{fffd}", UNKNOWN), ("in.price", UNKNOWN), (&long, UNKNOWN)]));
        assert_eq!(
            drifts(r#"[{"id":"a","name":"x","in":{"volume":1},"in.price":5}]"#),
            want(&[("in.price", MISSING), ("in.price", UNKNOWN)])
        );
        let many: String = (0..5_000).map(|n| format!(r#","f{n}":1"#)).collect();
        assert_eq!(drifts(&format!("[{{{good}{many}}}]")).len(), MOST_UNKNOWN);
    }

    #[test]
    fn a_large_body_is_sampled_and_read_whole_before_a_field_is_called_lost() {
        let mut elements = vec![r#"{"id":"a","in":{"price":1,"volume":1}}"#; 5_000];
        elements[1] = r#"{"id":"a","name":"x","in":{"price":1,"volume":1}}"#;
        assert_eq!(drifts(&format!("[{}]", elements.join(","))), []);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(body in r#"[\[\]{},:"\\ 1anid\u{e9}]{0,40}"#) {
            let _ = CONTRACT.drifts(body.as_bytes());
        }
    }
}
