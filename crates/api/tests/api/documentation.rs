//! What the README shows is what a service answers, and what it lists is what there is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::{Program, run_binary, workspace_binary};
use kasparro_testkit::simulator::{Simulator, Universe};
use serde_json::Value;

use crate::support::Service;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

static README: LazyLock<String> = LazyLock::new(|| fs::read_to_string(root().join("README.md")).unwrap());

/// What `make demo` loads: the simulator's universe and the sample.
fn demo() -> (TestDatabase, Service) {
    let database = TestDatabase::new();
    let simulator = Simulator::start(Universe::new(1).coins(300));
    let output = Program::new(workspace_binary("kasparro-etl"))
        .arguments(["run"])
        .variable("DATABASE_URL", database.url())
        .variable("COINPAPRIKA_BASE_URL", simulator.coinpaprika_base_url())
        .variable("COINGECKO_BASE_URL", simulator.coingecko_base_url())
        .variable("CSV_FILE_PATH", root().join("data/crypto_sample.csv").to_str().unwrap())
        .run();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let service = Service::on(database.url());
    (database, service)
}

/// Path and answer of each request that the README shows with its answer.
fn shown() -> Vec<(&'static str, Value)> {
    let mut all = Vec::new();
    for block in README.split("```").skip(1).step_by(2) {
        let Some(command) = block.trim_start_matches('\n').strip_prefix("$ curl ") else { continue };
        let (request, answer) = command.split_once('\n').unwrap();
        let path = request.trim_matches('\'').strip_prefix("localhost:8000").unwrap();
        all.push((path, serde_json::from_str(answer).unwrap_or_else(|error| panic!("{path}: {error}"))));
    }
    all
}

/// Members whose value is another one each time.
const CHANGING: [&str; 7] =
    ["observed_at", "created_at", "age_seconds", "id", "next_cursor", "request_id", "instance"];

#[track_caller]
fn assert_like(shown: &Value, answered: &Value, place: &str) {
    match (shown, answered) {
        (Value::Object(shown), Value::Object(answered)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(shown), names(answered), "{place}");
            for (name, value) in shown {
                let place = format!("{place}.{name}");
                if CHANGING.contains(&name.as_str()) {
                    assert_eq!(value.is_string(), answered[name].is_string(), "{place}");
                } else {
                    assert_like(value, &answered[name], &place);
                }
            }
        }
        (Value::Array(shown), Value::Array(answered)) => {
            assert_eq!(shown.len(), answered.len(), "{place}");
            for (number, (shown, answered)) in shown.iter().zip(answered).enumerate() {
                assert_like(shown, answered, &format!("{place}[{number}]"));
            }
        }
        // Prices move.
        (Value::Number(_), Value::Number(_)) => {}
        _ => assert_eq!(shown, answered, "{place}"),
    }
}

#[test]
fn the_answers_in_the_readme_are_those_of_a_service() {
    let (_database, service) = demo();
    let shown = shown();
    assert!(shown.len() >= 3, "{shown:?}");
    for (path, expected) in shown {
        assert_like(&expected, &service.get(path).json(), path);
    }
}

#[test]
fn every_route_is_in_the_readme() {
    let document: Value = serde_json::from_str(&kasparro_api::openapi_document()).unwrap();
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(README.contains(path.as_str()), "{path} is not in the README");
    }
}

#[test]
fn every_setting_is_in_the_readme_and_is_one() {
    let help: String = ["kasparro-api", "kasparro-etl"]
        .map(|name| {
            let output = run_binary(&workspace_binary(name), &["--help"], &[]);
            let migrate = run_binary(&workspace_binary("kasparro-etl"), &["migrate", "--help"], &[]);
            output.stdout + &migrate.stdout
        })
        .concat();
    for setting in help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next()) {
        assert!(README.contains(&format!("`{setting}`")), "{setting} is not in the README");
    }
    let (_, table) = README.split_once("| variable | default | meaning |\n|---|---|---|\n").unwrap();
    for row in table.lines().take_while(|line| line.starts_with('|')) {
        for setting in row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            let known = ["RUST_LOG", "DATABASE_URL"].contains(&setting) || setting == "DB_STATEMENT_CACHE";
            assert!(known || help.contains(setting), "{setting} is no setting of either program");
        }
    }
}

/// A run that is killed records nothing of its end.
#[test]
fn the_schedule_in_the_readme_lets_a_run_end_by_itself() {
    let number = |before: &str| {
        let (_, behind) = README.split_once(before).unwrap();
        behind.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u32>().unwrap()
    };
    let source = number("name: ETL_SOURCE_DEADLINE_SECONDS, value: \"");
    assert!(source + 60 < number("activeDeadlineSeconds: "), "{source} s");
}

#[test]
fn the_version_of_the_tables_in_the_readme_is_the_newest() {
    assert!(README.contains(&format!("now of version {}\n", kasparro_core::db::known_version())));
}
