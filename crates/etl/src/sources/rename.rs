//! Guesses what a lost field is called now, from names, types and values together.

use std::collections::{BTreeSet, HashMap, HashSet};

use kasparro_core::store::drift::NewDrift;
use serde_json::Value;

use super::contract::{Contract, MISSING, UNKNOWN, type_of};
use super::items;

/// Adds to each missing field the unknown one that it has probably become. `before` is a body from before.
pub(crate) fn suggest(contract: &Contract, drifts: &mut [NewDrift], now: &[u8], before: Option<&[u8]>) {
    let candidates: Vec<String> =
        drifts.iter().filter(|drift| drift.kind == UNKNOWN).map(|drift| drift.field.clone()).collect();
    let now = Table::of(now);
    let before = before.map(Table::of);
    for drift in drifts.iter_mut().filter(|drift| drift.kind == MISSING) {
        let Some(expected) = contract.find(&drift.field) else { continue };
        let likeness = |candidate: &String| {
            let (values, shown) = now.column(candidate);
            let same_type = type_of(&shown).is_some_and(|found| found == expected.json);
            let agreement =
                before.as_ref().and_then(|before| agreement(&before.column(&drift.field).0, &values));
            Likeness { name: name_likeness(&drift.field, candidate), same_type, agreement }
        };
        let best = candidates.iter().map(|candidate| (likeness(candidate), candidate));
        let best = best.max_by(|a, b| a.0.score().total_cmp(&b.0.score()));
        drift.suggestion = best
            .filter(|(likeness, _)| likeness.score() >= ENOUGH)
            .map(|(likeness, field)| likeness.words(field));
    }
}

/// Below this score nothing is suggested.
const ENOUGH: f64 = 0.5;

/// How much an unknown field is like a missing one.
struct Likeness {
    /// From 0 to 1.
    name: f64,
    same_type: bool,
    /// Share of the records whose value is that of the last body, and their number.
    agreement: Option<(f64, usize)>,
}

impl Likeness {
    fn score(&self) -> f64 {
        let same_type = f64::from(u8::from(self.same_type));
        match self.agreement {
            Some((share, _)) => 0.35 * self.name + 0.15 * same_type + 0.5 * share,
            None => 0.7 * self.name + 0.3 * same_type,
        }
    }

    fn words(&self, field: &str) -> String {
        let name = (self.name * 100.0).round();
        let type_words = if self.same_type { "the same type" } else { "another type" };
        let values = match self.agreement {
            Some((share, count)) => {
                format!(", {:.0} % of {count} values are about those of the last body", share * 100.0)
            }
            None => String::new(),
        };
        format!("{field} (name {name} % alike, {type_words}{values})")
    }
}

/// The values of a body, by id.
struct Table(Vec<(String, Value)>);

impl Table {
    fn of(body: &[u8]) -> Self {
        let records = items::split(body).unwrap_or_default().into_iter().enumerate();
        let row = |(place, element): (usize, &[u8])| {
            let record: Value = serde_json::from_slice(element).ok()?;
            // Without an id the place is the best that there is.
            let id =
                record.get("id").and_then(Value::as_str).map_or_else(|| place.to_string(), str::to_owned);
            Some((id, record))
        };
        Self(records.filter_map(row).collect())
    }

    /// The values of a field by id, and one of them as JSON.
    fn column(&self, path: &str) -> (HashMap<&str, &Value>, String) {
        let mut values = HashMap::new();
        for (id, record) in &self.0 {
            let found = path.split('.').try_fold(record, |value, key| value.get(key));
            if let Some(found) = found.filter(|value| !value.is_null()) {
                values.insert(id.as_str(), found);
            }
        }
        let shown = values.values().next().map(ToString::to_string).unwrap_or_default();
        (values, shown)
    }
}

/// The share of records that say now under one name about what they said before under the other; `None` when there is
/// nothing to compare.
fn agreement(before: &HashMap<&str, &Value>, now: &HashMap<&str, &Value>) -> Option<(f64, usize)> {
    let pairs: Vec<(&Value, &Value)> =
        now.iter().filter_map(|(id, value)| Some((*before.get(id)?, *value))).collect();
    if !pairs.is_empty() {
        let alike = pairs.iter().filter(|(before, now)| about_the_same(before, now)).count();
        return Some((alike as f64 / pairs.len() as f64, pairs.len()));
    }
    // The ids themselves may have moved.
    let texts: HashSet<&str> = before.values().filter_map(|value| value.as_str()).collect();
    let found = now.values().filter(|value| value.as_str().is_some_and(|text| texts.contains(text))).count();
    (!texts.is_empty() && !now.is_empty()).then(|| (found as f64 / now.len() as f64, now.len()))
}

fn about_the_same(before: &Value, now: &Value) -> bool {
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    match (number(before), number(now)) {
        (Some(before), Some(now)) => (before - now).abs() <= 0.1 * before.abs().max(now.abs()),
        _ => match (before.as_str(), now.as_str()) {
            (Some(before), Some(now)) => before == now || is_time(before) && is_time(now),
            _ => false,
        },
    }
}

fn is_time(text: &str) -> bool {
    chrono::DateTime::parse_from_rfc3339(text).is_ok()
}

/// How alike two names are, from 0 to 1: by their words or by their pairs of letters, whichever is more.
fn name_likeness(a: &str, b: &str) -> f64 {
    fn share<T: Ord>(a: &BTreeSet<T>, b: &BTreeSet<T>) -> f64 {
        let all = a.len() + b.len();
        if all == 0 { 0.0 } else { 2.0 * a.intersection(b).count() as f64 / all as f64 }
    }
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let (a, b) = (last(a), last(b));
    let words = |name: &str| name.split('_').map(str::to_owned).collect::<BTreeSet<_>>();
    let pairs = |name: &str| {
        let letters: Vec<char> = name.chars().filter(|c| *c != '_').collect();
        letters.windows(2).map(|pair| (pair[0], pair[1])).collect::<BTreeSet<_>>()
    };
    share(&words(&a), &words(&b)).max(share(&pairs(&a), &pairs(&b)))
}

#[cfg(test)]
mod tests {
    use super::super::contract::{Type, required, usual};
    use super::*;

    const CONTRACT: Contract =
        Contract(&[required("id", Type::Text), usual("name", Type::Text), required("price", Type::Number)]);

    fn suggested(now: &str, before: Option<&str>) -> Vec<Option<String>> {
        let mut drifts = CONTRACT.drifts(now.as_bytes());
        suggest(&CONTRACT, &mut drifts, now.as_bytes(), before.map(str::as_bytes));
        drifts.into_iter().filter(|drift| drift.kind == MISSING).map(|drift| drift.suggestion).collect()
    }

    const BEFORE: &str = r#"[{"id":"a","name":"A","price":1},{"id":"b","name":"B","price":200}]"#;

    #[test]
    fn values_decide_where_names_do_not() {
        let now = r#"[{"id":"a","name":"A","quote":1.01,"priced":77},{"id":"b","name":"B","quote":201,"priced":5}]"#;
        let with_values = suggested(now, Some(BEFORE));
        assert!(with_values[0].as_ref().unwrap().starts_with("quote ("), "{with_values:?}");
        let without = suggested(now, None);
        assert!(without[0].as_ref().unwrap().starts_with("priced ("), "{without:?}");
    }

    #[test]
    fn nothing_is_suggested_for_what_is_gone() {
        let now = r#"[{"id":"a","name":"A","homepage":"x"}]"#;
        assert_eq!(suggested(now, Some(BEFORE)), [None]);
        assert_eq!(suggested(now, None), [None]);
    }

    #[test]
    fn an_id_that_moved_is_found_by_its_values() {
        let now = r#"[{"slug":"a","name":"A","price":1},{"slug":"b","name":"B","price":2}]"#;
        let found = suggested(now, Some(BEFORE));
        assert!(found[0].as_ref().unwrap().contains("slug ("), "{found:?}");
    }
}
