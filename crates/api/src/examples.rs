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

/// Recorded answers by the id of their operation.
const RECORDED: &[(&str, &str)] = &[
    ("root", include_str!("../examples/root.json")),
    ("health", include_str!("../examples/health.json")),
    ("list", include_str!("../examples/list.json")),
    ("export", include_str!("../examples/export.json")),
    ("newest", include_str!("../examples/newest.json")),
    ("stats", include_str!("../examples/stats.json")),
    ("summary", include_str!("../examples/summary.json")),
    ("assets", include_str!("../examples/assets.json")),
    ("asset", include_str!("../examples/asset.json")),
    ("history", include_str!("../examples/history.json")),
    ("compare", include_str!("../examples/compare.json")),
    ("lineage", include_str!("../examples/lineage.json")),
    ("quality", include_str!("../examples/quality.json")),
    ("runs", include_str!("../examples/runs.json")),
    ("compare_runs", include_str!("../examples/compare_runs.json")),
    ("run", include_str!("../examples/run.json")),
    ("livez", include_str!("../examples/livez.json")),
    ("readyz", include_str!("../examples/readyz.json")),
    ("problems", include_str!("../examples/problems.json")),
    ("problem", include_str!("../examples/problem.json")),
];

/// Adds what the service answered once.
pub(crate) fn add(operation: &mut Operation) {
    let id = operation.operation_id.as_deref();
    let Some((_, text)) = RECORDED.iter().find(|(recorded, _)| Some(*recorded) == id) else { return };
    // A test reads every file.
    let Ok(Recorded { path, answer }) = serde_json::from_str(text) else { return };
    let Some(RefOr::T(success)) = operation.responses.responses.get_mut("200") else { return };
    if let Some(RefOr::T(content)) = success.content.get_mut("application/json") {
        let example = ExampleBuilder::new().summary(format!("GET {path}")).value(Some(answer));
        content.examples.insert("recorded".to_owned(), RefOr::T(example.build()));
    }
}
