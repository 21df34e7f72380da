//! What holds whatever bytes come in. The property tests of this crate and the fuzz targets (`crates/etl/fuzz`) check
//! the same functions; each panics when a property is broken.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken property is a panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use chrono::{DateTime, Utc};
use kasparro_core::decimal::{DecimalError, MAX_DIGITS};
use kasparro_core::store::csv_file::FileState;
use kasparro_core::{Decimal, MarketRecord};
use serde_json::value::RawValue;

use crate::cli::Options;
use crate::http::{self, Client};
use crate::settings::Settings;
use crate::signal::Cancel;
use crate::source::{Clock, Extracted, Extraction, Normalised, Provenance, RawBatch, Source};
use crate::sources;

/// Time of reading in every property.
const NOW: &str = "2026-03-01T12:00:00Z";

fn now() -> DateTime<Utc> {
    NOW.parse().unwrap()
}

/// A number as sign, digits without zeros around them, and the power of ten of the last one. Not how [`Decimal`] does it.
fn canonical(text: &str) -> Option<(bool, String, i64)> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let size = digits.parse().unwrap_or(i64::from(i32::MAX)).min(i64::from(i32::MAX));
            (mantissa, if exponent.starts_with('-') { -size } else { size })
        }
        None => (unsigned, 0),
    };
    let (mut digits, mut power, mut behind) = (String::new(), exponent, false);
    for character in mantissa.chars() {
        match character {
            '0'..='9' => {
                digits.push(character);
                power -= i64::from(behind);
            }
            '.' if !behind => behind = true,
            _ => return None,
        }
    }
    if digits.is_empty() {
        return None;
    }
    let kept = digits.trim_end_matches('0');
    power += (digits.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0');
    Some(if kept.is_empty() { (false, String::new(), 0) } else { (negative, kept.to_owned(), power) })
}

/// A text is read as the number that it spells, or refused for the right reason.
pub fn decimal(text: &str) {
    let spelt = canonical(text);
    match Decimal::parse(text) {
        Ok(number) => {
            let plain = number.as_str();
            assert_eq!(spelt, canonical(plain), "{text} was read as {plain}");
            assert!(plain.len() <= 2 * MAX_DIGITS + 2 && !plain.contains(['e', 'E', '+']), "{plain}");
            // JSON's grammar: no zeros in front, no bare point.
            serde_json::from_str::<&RawValue>(plain).unwrap_or_else(|error| panic!("{plain}: {error}"));
            assert_eq!(Decimal::parse(plain).unwrap().as_str(), plain);
            let mut binary = Vec::new();
            number.write_numeric(&mut binary);
            assert_eq!(binary.len(), 8 + 2 * usize::from(u16::from_be_bytes([binary[0], binary[1]])));
        }
        Err(DecimalError::Malformed) => assert_eq!(spelt, None, "{text} is a number"),
        Err(DecimalError::OutOfRange) => assert!(spelt.is_some(), "{text} is no number"),
    }
}

/// A wait that a source asks for is understood or left, and never longer than can be added to a date.
pub fn retry_after(name: &str, value: &[u8]) {
    if let Some(wait) = http::asked_to_wait(name, value, now()) {
        let wait = chrono::TimeDelta::from_std(wait).expect("fits");
        assert!(now().checked_add_signed(wait).is_some());
    }
}

/// The records of a body are those that were sent, each taken or refused, with the digits that were sent.
pub fn json_source(name: &str, body: &[u8]) {
    let source = (sources::find(name).expect("a source").open)(&settings(None, 1)).expect("opens");
    let provenance = Provenance::Http { url: "http://x/".to_owned(), status: 200, content_type: None };
    let batch = RawBatch {
        bytes: body.to_vec(),
        fetched_at: now(),
        provenance,
        cursor: serde_json::Value::Null,
        reached: None,
        reread: None,
    };
    if let Some(contract) = source.contract() {
        let _ = contract.drifts(body);
    }
    let list = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let elements: Option<Vec<&RawValue>> = serde_json::from_slice(list).ok();
    let Ok(normalised) = source.normalise(&batch) else {
        assert!(elements.is_none(), "a list of JSON was refused");
        return;
    };
    check_records(&normalised, body.len());
    let Some(elements) = elements else { return };
    assert_eq!(normalised.records.len() + normalised.rejects.len(), elements.len());
    let price =
        if name == sources::coingecko::NAME { &["current_price"][..] } else { &["quotes", "USD", "price"] };
    for record in &normalised.records {
        let sent = field(elements[record.position as usize], price);
        let got = record.values.price_usd.as_ref().and_then(|price| canonical(price.as_str()));
        assert_eq!(got, sent.and_then(|text| canonical(&text)), "{}", elements[record.position as usize]);
    }
}

/// The text of a field of an element, without the quotes of a text; `None` for null, nothing and the empty text.
fn field(element: &RawValue, path: &[&str]) -> Option<String> {
    let Some((name, rest)) = path.split_first() else {
        let text = element.get();
        let text = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
        return Some(text).filter(|text| text != "null" && !text.is_empty());
    };
    let object: BTreeMap<String, &RawValue> = serde_json::from_str(element.get()).ok()?;
    field(object.get(*name)?, rest)
}

/// What holds for records of any source: they can be stored, and they are not larger than what they were made of.
fn check_records(normalised: &Normalised, bytes: usize) {
    let mut size = 0;
    for record in &normalised.records {
        assert!(!record.crypto_id.is_empty());
        let texts = [Some(&record.crypto_id), record.crypto_name.as_ref(), record.symbol.as_ref()];
        for text in texts.into_iter().flatten() {
            assert!(!text.contains('\0') && text.len() <= 512, "{text:?}");
            size += text.len();
        }
        let values = &record.values;
        let amounts = [
            &values.price_usd,
            &values.market_cap_usd,
            &values.volume_24h_usd,
            &values.circulating_supply,
            &values.total_supply,
            &values.max_supply,
        ];
        assert!(amounts.into_iter().flatten().all(|amount| !amount.is_negative()), "{values:?}");
        assert!(values.rank.is_none_or(|rank| rank > 0));
        if let Some(time) = record.observed_at {
            assert!(
                time.timestamp() >= 1_230_940_800 && time <= now() + chrono::TimeDelta::days(1),
                "{time}"
            );
            assert_eq!(time.timestamp_subsec_nanos() % 1000, 0);
        }
    }
    size += normalised.rejects.iter().map(|reject| reject.raw.len()).sum::<usize>();
    // A file can repeat what stands in its header for each row.
    assert!(size <= 64 * bytes + 1024, "{size} bytes of {bytes}");
}

fn settings(csv: Option<&Path>, batch_size: usize) -> Settings {
    let options = Options {
        csv_file_path: csv.map(|path| path.display().to_string()),
        batch_size: Some(batch_size.to_string()),
        ..Options::default()
    };
    Settings::check(&options, true).expect("good settings")
}

/// What reading a file gave.
#[derive(Debug, Default)]
pub struct Read {
    /// Records as `id|price|time`.
    pub records: Vec<String>,
    /// Records that were refused.
    pub rejects: usize,
    /// Why reading ended early.
    pub failure: Option<String>,
    states: Vec<FileState>,
}

/// Reads a file as a run does that knows what an earlier one has loaded.
///
/// Its batches are pieces of the file, one behind the other, and say how far it is loaded.
pub fn read_csv(path: &Path, before: &Read, batch_size: usize) -> Read {
    read_known(path, &before.states, batch_size)
}

fn read_known(path: &Path, known: &[FileState], batch_size: usize) -> Read {
    let settings = settings(Some(path), batch_size);
    let registration = sources::find(sources::csv::NAME).expect("a source");
    let source = (registration.open)(&settings).expect("opens");
    let clock = Clock { database_time: now(), read_at: Instant::now() };
    let http = Client::new((registration.policy)(&settings), None, None, clock, Cancel::default());
    let context = Extraction { files: known.to_vec(), clock, http, cancel: Cancel::default() };
    let mut read = Read { states: known.to_vec(), ..Read::default() };
    let whole = std::fs::read(path).expect("is there");
    let mut end = None;
    for step in source.extract(&context).into_iter().flatten() {
        match step {
            Ok(Extracted::Batch(batch)) => {
                end = Some(check_batch(source.as_ref(), &batch, &whole, end, &mut read));
            }
            Ok(Extracted::File(state)) => keep(&mut read.states, state),
            Err(error) => read.failure = Some(error.message),
        }
    }
    read
}

fn keep(states: &mut Vec<FileState>, state: FileState) {
    states.retain(|other| other.path != state.path);
    states.push(state);
}

fn check_batch(
    source: &dyn Source,
    batch: &RawBatch,
    whole: &[u8],
    end: Option<u64>,
    read: &mut Read,
) -> u64 {
    let Provenance::File { state, bytes, .. } = &batch.provenance else { panic!("not a file") };
    assert_eq!(batch.bytes, whole[bytes.0 as usize..bytes.1 as usize], "other bytes than those of the file");
    assert!(end.is_none_or(|end| end == bytes.0), "a gap, or bytes twice");
    assert!(state.read_bytes <= whole.len() as i64);
    let normalised = source.normalise(batch).expect("rows are refused one by one");
    check_records(&normalised, whole.len());
    read.rejects += normalised.rejects.len();
    read.records.extend(normalised.records.iter().map(shown));
    keep(&mut read.states, state.clone());
    bytes.1
}

fn shown(record: &MarketRecord) -> String {
    let price = record.values.price_usd.as_ref().map(Decimal::as_str).unwrap_or_default();
    let time = record.observed_at.map(|time| time.to_rfc3339()).unwrap_or_default();
    format!("{}|{price}|{time}", record.crypto_id)
}

/// Any bytes can be read as a file, and what was loaded is not loaded again.
pub fn csv(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("a file");
    let first = read_csv(path, &Read::default(), 3);
    let second = read_csv(path, &first, 3);
    if first.failure.is_none() {
        assert_eq!(second.failure, None);
        assert_eq!(second.records, Vec::<String>::new(), "loaded twice");
    }
}

/// Whatever the database says of a file, reading it goes on somewhere and ends.
pub fn csv_checkpoint(path: &Path, bytes: &[u8], numbers: [i64; 4]) {
    std::fs::write(path, bytes).expect("a file");
    let [generation, size_bytes, read_bytes, read_lines] = numbers;
    let absolute = std::path::absolute(path).expect("a path").display().to_string();
    let state = FileState {
        path: absolute,
        generation: generation as i32,
        size_bytes,
        modified_ns: 0,
        inode: String::new(),
        read_bytes,
        read_lines,
        prefix_hash: prefix_hash(bytes, read_bytes),
        as_of: now(),
    };
    read_known(path, &[state], 3);
}

/// That of the prefix where there is one, so that not every state is that of another file.
fn prefix_hash(bytes: &[u8], length: i64) -> Vec<u8> {
    let prefix = usize::try_from(length).ok().and_then(|length| bytes.get(..length));
    blake3::hash(prefix.unwrap_or(bytes)).as_bytes().to_vec()
}

#[cfg(test)]
mod tests;
