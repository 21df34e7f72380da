//! The answers in the OpenAPI document are those of the service.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::{Program, workspace_binary};
use kasparro_testkit::simulator::{Simulator, Universe};
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::exports::unchunked;
use crate::support::Service;

/// Renews the recorded answers instead of comparing with them.
const RENEW: &str = "RENEW_EXAMPLES";

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

const VENDORS: [(&str, &str); 2] =
    [("coinpaprika", "https://api.coinpaprika.com/v1"), ("coingecko", "https://api.coingecko.com/api/v3")];

/// What differs from one recording to the next: it is only of the same kind.
const OF_THE_MOMENT: [&str; 4] = ["age_seconds", "duration_seconds", "next_cursor", "sha256"];

/// What one request was answered.
#[derive(Serialize)]
struct Recorded {
    path: String,
    answer: Value,
}

#[test]
fn the_answers_in_the_document_are_those_of_the_service() {
    let database = TestDatabase::new();
    load(&database);
    let service = Service::on(database.url());
    let without_database = Service::on("postgres://nobody@127.0.0.1:1/nothing");
    let newest = service.json("/data?crypto_id=btc-bitcoin&limit=1");
    let observation = newest["data"][0]["id"].as_str().unwrap().to_owned();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(FOLDER).unwrap() {
        let file = entry.unwrap().path();
        let recorded: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let path = recorded["path"].as_str().unwrap();
        // An observation has another id in each database.
        let path = match path.strip_prefix("/lineage/") {
            Some(_) => format!("/lineage/{observation}"),
            None => path.to_owned(),
        };
        let (service, status) = match file.file_stem().is_some_and(|name| name == "unhealthy") {
            true => (&without_database, 503),
            false => (&service, 200),
        };
        let answer = service.request("GET", &path, &[("Accept", "application/json")]);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        let body = match answer.header("transfer-encoding") {
            Some(_) => unchunked(&answer.body).unwrap(),
            None => answer.body,
        };
        let answer: Value = serde_json::from_str(&body).unwrap();
        if std::env::var_os(RENEW).is_some() {
            let text = serde_json::to_string_pretty(&Recorded { path, answer }).unwrap();
            fs::write(&file, text + "\n").unwrap();
        } else if let Err(place) = is_alike(&recorded["answer"], &answer, "") {
            wrong.push(format!("{path}: {place}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nIf the changes are meant, renew them: {RENEW}=1 cargo test -p kasparro-api --test api examples",
        wrong.join("\n")
    );
}

/// Two runs over both vendors, as these would have answered half an hour before this hour began, and five minutes later:
/// both in one hour, whenever the test runs.
fn load(database: &TestDatabase) {
    let hour = Utc::now().duration_trunc(TimeDelta::hours(1)).unwrap();
    let begin = hour - TimeDelta::minutes(30);
    let universe = Universe::new(1).coins(12).without_quirks().base_time(begin);
    let simulator = Simulator::start(universe.tick_length(Duration::from_secs(300)));
    let scratch = TestDatabase::new();
    for _ in 0..2 {
        let tape = TempDir::new().unwrap();
        run(&scratch, &simulator, "--record", tape.path());
        for (source, address) in VENDORS {
            relabel(&tape.path().join(source), &simulator, source, address);
        }
        run(database, &simulator, "--replay", tape.path());
        simulator.advance();
    }
}

fn run(database: &TestDatabase, simulator: &Simulator, taping: &str, folder: &Path) {
    let output = Program::new(workspace_binary("kasparro-etl"))
        .arguments(["run", "--sources", "coinpaprika,coingecko"])
        .arguments([taping.as_ref(), folder])
        .variable("DATABASE_URL", database.url())
        .variable("LISTINGS_EVERY", "off")
        .variable("COINPAPRIKA_BASE_URL", simulator.coinpaprika_base_url())
        .variable("COINGECKO_BASE_URL", simulator.coingecko_base_url())
        .run();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
}

/// Makes the vendor the one who answered.
fn relabel(folder: &Path, simulator: &Simulator, source: &str, address: &str) {
    let played = match source {
        "coinpaprika" => simulator.coinpaprika_base_url(),
        _ => simulator.coingecko_base_url(),
    };
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "json") {
            let label = fs::read_to_string(&file).unwrap();
            assert!(label.contains(&played), "{label}");
            fs::write(&file, label.replace(&played, address)).unwrap();
        }
    }
}

/// Whether two answers differ in nothing but the moment; else where they do.
fn is_alike(recorded: &Value, answer: &Value, place: &str) -> Result<(), String> {
    let name = place.rsplit('.').next().unwrap_or_default();
    let is_same = match (recorded, answer) {
        (Value::Object(one), Value::Object(other)) => {
            if let Some(name) = one
                .keys()
                .chain(other.keys())
                .find(|name| one.contains_key(*name) != other.contains_key(*name))
            {
                return Err(format!("{place}.{name} is in one of them"));
            }
            return one
                .iter()
                .try_for_each(|(name, value)| is_alike(value, &other[name], &format!("{place}.{name}")));
        }
        // Which of two sources comes first is up to them.
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let lacks = |item: &&Value| other.iter().all(|other| is_alike(item, other, place).is_err());
            return match one.iter().find(lacks) {
                None => Ok(()),
                Some(item) => Err(format!("{place}[]: {item} was recorded and is not among {answer}")),
            };
        }
        (Value::String(one), Value::String(other)) => {
            OF_THE_MOMENT.contains(&name) || timeless(one) == timeless(other)
        }
        (Value::Number(_), Value::Number(_)) if OF_THE_MOMENT.contains(&name) => true,
        (one, other) => one == other,
    };
    if is_same { Ok(()) } else { Err(format!("{place}: {recorded} was recorded, {answer} is answered")) }
}

/// A text without the times in it, alone or within what it repeats, and without ids of observations, which hold a time.
fn timeless(text: &str) -> String {
    let words = text.split_inclusive(['"', ' ', ',', '?', '&']);
    let is_moment = |word: &str| {
        let word = word.trim_end_matches(['"', ' ', ',']);
        let id = word.split_once('-');
        DateTime::parse_from_rfc3339(word).is_ok()
            || id.is_some_and(|(coin, time)| {
                coin.parse::<i32>().is_ok() && time.parse::<u64>().is_ok_and(|time| time > 1 << 40)
            })
    };
    words.filter(|word| !is_moment(word)).collect()
}
