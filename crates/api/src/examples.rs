//! Answers in the OpenAPI document, recorded from the service. A test asks for each of them again.

use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::Operation;

/// An answer to one request.
#[derive(Deserialize)]
struct Recorded {
    /// Path and query of the request.
    path: String,
    answer: serde_json::Value,
}

/// Recorded answers by the id of their operation and the status.
const RECORDED: &[(&str, &str, &str)] = &[
    ("root", "200", include_str!("../examples/root.json")),
    ("health", "200", include_str!("../examples/health.json")),
    ("health", "503", include_str!("../examples/unhealthy.json")),
    ("list", "200", include_str!("../examples/list.json")),
    ("export", "200", include_str!("../examples/export.json")),
    ("newest", "200", include_str!("../examples/newest.json")),
    ("stats", "200", include_str!("../examples/stats.json")),
    ("summary", "200", include_str!("../examples/summary.json")),
    ("assets", "200", include_str!("../examples/assets.json")),
    ("asset", "200", include_str!("../examples/asset.json")),
    ("history", "200", include_str!("../examples/history.json")),
    ("compare", "200", include_str!("../examples/compare.json")),
    ("lineage", "200", include_str!("../examples/lineage.json")),
    ("quality", "200", include_str!("../examples/quality.json")),
    ("runs", "200", include_str!("../examples/runs.json")),
    ("compare_runs", "200", include_str!("../examples/compare_runs.json")),
    ("run", "200", include_str!("../examples/run.json")),
    ("livez", "200", include_str!("../examples/livez.json")),
    ("readyz", "200", include_str!("../examples/readyz.json")),
    ("problems", "200", include_str!("../examples/problems.json")),
    ("problem", "200", include_str!("../examples/problem.json")),
];

/// Adds what the service answered once.
pub(crate) fn add(operation: &mut Operation) {
    let id = operation.operation_id.clone().unwrap_or_default();
    for (_, status, text) in RECORDED.iter().filter(|(recorded, ..)| *recorded == id) {
        // A test reads every file.
        let Ok(Recorded { path, answer }) = serde_json::from_str(text) else { continue };
        let Some(RefOr::T(response)) = operation.responses.responses.get_mut(*status) else { continue };
        if let Some(RefOr::T(content)) = response.content.get_mut("application/json") {
            let example = ExampleBuilder::new().summary(format!("GET {path}")).value(Some(answer));
            content.examples.insert("recorded".to_owned(), RefOr::T(example.build()));
        }
    }
}
