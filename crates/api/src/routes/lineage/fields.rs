//! What became of each field of a raw record, and by which rule.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use kasparro_core::Decimal;
use kasparro_core::raw::records::Records;
use kasparro_core::store::layout::{Format, Layout, Origin};
use kasparro_core::store::listed::Observation;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// One field from the raw record to the table.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldLineage {
    /// The field of the observation.
    #[schema(example = "total_supply")]
    field: String,
    /// Where it stands in the raw record: members of JSON with points between them, or the name of a column.
    #[schema(example = "quotes.USD.price")]
    origin: String,
    /// The exact text that stands there, quotes of JSON texts included; null when the record does not have it.
    #[schema(example = "0")]
    sent: Option<String>,
    /// What is stored, as text; null when it is not known.
    #[schema(example = json!(null))]
    stored: Option<String>,
    /// What was done with it.
    rule: Rule,
    /// The same in words.
    #[schema(example = "0 means unknown for total_supply")]
    meaning: String,
}

/// What may be done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    /// It is stored digit for digit, or letter for letter.
    AsSent,
    /// The record does not have the field: not known.
    AbsentIsUnknown,
    /// It is null: not known.
    NullIsUnknown,
    /// It is an empty text: not known.
    EmptyIsUnknown,
    /// The source writes 0 for "not known".
    ZeroIsUnknown,
    /// The exponent was written out; every digit is kept.
    ExponentWrittenOut,
    /// A text that holds a number.
    TextIsNumber,
    /// Signs, separators or blanks around the value were left out.
    DecorationRemoved,
    /// It was converted as the file, or the map that belongs to it, declares: another unit, scale or style.
    Converted,
    /// The time was brought to UTC and microseconds.
    TimeInUtc,
    /// The record carries no time: it is of the time of reading.
    TimeOfReading,
    /// The source has no id: it is made of symbol and name.
    MadeOfSymbolAndName,
}

/// The texts of a raw record, by origin.
pub(super) struct Sent(BTreeMap<String, String>);

impl Sent {
    /// Reads them out of the record.
    pub(super) fn of(layout: &Layout, record: &str) -> Self {
        let found = |origin: &Origin| {
            let text = match layout.format {
                Format::Json => member(record, &origin.origin)?,
                Format::Csv => cell(record, layout.delimiter?, origin.column?)?,
            };
            Some((origin.field.clone(), text))
        };
        Self(layout.fields.iter().filter_map(found).collect())
    }
}

/// The text of a member of nested objects.
fn member(record: &str, path: &str) -> Option<String> {
    let mut text = record;
    for name in path.split('.') {
        let object: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        text = object.get(name).map(|raw| raw.get())?;
    }
    Some(text.to_owned())
}

fn cell(record: &str, delimiter: char, column: usize) -> Option<String> {
    let mut rows = Records::new(record.as_bytes(), u8::try_from(delimiter).ok()?);
    let row = rows.next().ok()??;
    row.get(column).map(|cell| String::from_utf8_lossy(cell).into_owned())
}

/// Every field of the layout, in its order, and what was taken from no field.
pub(super) fn trace(layout: &Layout, sent: &Sent, observation: &Observation) -> Vec<FieldLineage> {
    let mut fields: Vec<FieldLineage> = layout
        .fields
        .iter()
        .map(|origin| {
            let text = sent.0.get(&origin.field).cloned();
            let stored = stored(observation, &origin.field);
            let rule = rule(layout.format, origin, text.as_deref(), stored.as_deref());
            FieldLineage {
                meaning: rule.meaning(&origin.field),
                field: origin.field.clone(),
                origin: origin.origin.clone(),
                sent: text,
                stored,
                rule,
            }
        })
        .collect();
    let has = |field: &str| layout.fields.iter().any(|origin| origin.field == field);
    for (field, rule) in [("crypto_id", Rule::MadeOfSymbolAndName), ("observed_at", Rule::TimeOfReading)] {
        if !has(field) {
            fields.push(FieldLineage {
                field: field.to_owned(),
                origin: String::new(),
                sent: None,
                stored: stored(observation, field),
                rule,
                meaning: rule.meaning(field),
            });
        }
    }
    fields
}

/// What is stored in a field, as text.
fn stored(observation: &Observation, field: &str) -> Option<String> {
    let number = |number: &Option<Decimal>| number.as_ref().map(ToString::to_string);
    match field {
        "crypto_id" => Some(observation.crypto_id.clone()),
        "crypto_name" => observation.crypto_name.clone(),
        "symbol" => observation.symbol.clone(),
        "observed_at" => Some(observation.observed_at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        "rank" => observation.rank.map(|rank| rank.to_string()),
        "price_usd" => number(&observation.price_usd),
        "market_cap_usd" => number(&observation.market_cap_usd),
        "volume_24h_usd" => number(&observation.volume_24h_usd),
        "change_24h_percent" => number(&observation.change_24h_percent),
        "circulating_supply" => number(&observation.circulating_supply),
        "total_supply" => number(&observation.total_supply),
        "max_supply" => number(&observation.max_supply),
        _ => None,
    }
}

/// What was done, told from both ends.
fn rule(format: Format, origin: &Origin, sent: Option<&str>, stored: Option<&str>) -> Rule {
    let is_time = origin.field == "observed_at";
    let Some(sent) = sent else {
        return if is_time { Rule::TimeOfReading } else { Rule::AbsentIsUnknown };
    };
    // A JSON text without its quotes; as is when it is none.
    let text = match format {
        Format::Json => serde_json::from_str::<String>(sent).ok(),
        Format::Csv => None,
    };
    let plain = text.as_deref().unwrap_or(sent);
    let empty = plain.trim().is_empty();
    match stored {
        None if format == Format::Json && sent == "null" => Rule::NullIsUnknown,
        None if empty => Rule::EmptyIsUnknown,
        None if origin.zero_is_unknown => Rule::ZeroIsUnknown,
        None => Rule::EmptyIsUnknown,
        Some(_) if is_time && (empty || sent == "null") => Rule::TimeOfReading,
        Some(stored) if stored == plain => {
            let is_text =
                matches!(origin.field.as_str(), "crypto_id" | "crypto_name" | "symbol" | "observed_at");
            if text.is_some() && !is_text { Rule::TextIsNumber } else { Rule::AsSent }
        }
        Some(_) if is_time => Rule::TimeInUtc,
        Some(_) if plain.contains(['e', 'E']) && Decimal::parse(plain).is_ok() => Rule::ExponentWrittenOut,
        Some(stored) if digits(stored) == digits(plain) => Rule::DecorationRemoved,
        Some(_) => Rule::Converted,
    }
}

/// The digits of a number or text, whatever stands between them.
fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

impl Rule {
    fn meaning(self, field: &str) -> String {
        match self {
            Self::AsSent => format!("{field} is stored as it was sent"),
            Self::AbsentIsUnknown => format!("the record has no {field}: it is unknown"),
            Self::NullIsUnknown => format!("null means unknown for {field}"),
            Self::EmptyIsUnknown => format!("an empty {field} is unknown"),
            Self::ZeroIsUnknown => format!("0 means unknown for {field}"),
            Self::ExponentWrittenOut => format!("the exponent of {field} was written out, with every digit"),
            Self::TextIsNumber => format!("the text holds the number of {field}"),
            Self::DecorationRemoved => {
                format!("signs, separators and blanks around {field} were left out, no digit was")
            }
            Self::Converted => format!("{field} was converted as declared for the file"),
            Self::TimeInUtc => "the time was brought to UTC and microseconds".to_owned(),
            Self::TimeOfReading => "the record carries no time: it is of the time of reading".to_owned(),
            Self::MadeOfSymbolAndName => "the source gives no id: it is made of symbol and name".to_owned(),
        }
    }
}
