//! The OpenAPI document: complete, true, and changed only on purpose.

use serde_json::Value;

use crate::support::service_with;

const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

fn document() -> Value {
    serde_json::from_str(&kasparro_api::openapi_document()).unwrap()
}

#[test]
fn the_document_is_the_checked_in_one() {
    let checked_in = std::fs::read_to_string(CHECKED_IN).unwrap_or_default();
    assert!(
        kasparro_api::openapi_document() == checked_in,
        "crates/api/openapi.json is not what the code says. If the change is meant, renew it:\n    \
         cargo run -p kasparro-api -- openapi > crates/api/openapi.json"
    );
}

#[test]
fn the_service_serves_the_document() {
    let (_database, service) = service_with("");
    assert_eq!(service.get("/openapi.json").body, kasparro_api::openapi_document());
}

#[test]
fn every_operation_is_described() {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let expected = [
        "/",
        "/assets",
        "/assets/{id}",
        "/assets/{id}/history",
        "/compare",
        "/data",
        "/data/export",
        "/data/{crypto_id}",
        "/health",
        "/lineage/{id}",
        "/livez",
        "/problems",
        "/problems/{code}",
        "/quality",
        "/readyz",
        "/runs",
        "/runs/compare",
        "/runs/{id}",
        "/stats",
        "/stats/summary",
    ];
    let mut described: Vec<_> = paths.keys().map(String::as_str).collect();
    described.sort_unstable();
    assert_eq!(described, expected);
    for (path, item) in paths {
        let operation = &item["get"];
        for member in ["operationId", "summary", "tags"] {
            assert!(!operation[member].is_null(), "{path} {member}");
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key("200") && responses.contains_key("422"), "{path}");
        let recorded = &responses["200"]["content"]["application/json"]["examples"]["recorded"];
        assert!(recorded["summary"].is_string() && !recorded["value"].is_null(), "{path}");
        for (status, response) in responses {
            assert!(!response["headers"]["X-Request-ID"].is_null(), "{path} {status}");
            let problem = &response["content"]["application/problem+json"];
            if status.as_str() >= "400" && path != "/health" {
                assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem", "{path} {status}");
                assert_eq!(problem["example"]["status"].to_string(), *status, "{path}");
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(!parameter["description"].as_str().unwrap().is_empty(), "{path} {parameter}");
            assert!(!parameter["schema"].is_null(), "{path} {parameter}");
        }
    }
}

#[test]
fn references_lead_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
}

/// The bounds in the document and those of the code are written down twice: here they meet.
#[test]
fn documented_bounds_defaults_and_examples_are_true() {
    let (_database, service) = service_with("");
    for (path, item) in document()["paths"].as_object().unwrap() {
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            // A list is sent between commas, so what holds for an item holds for a list of one.
            let schema = if schema["items"].is_null() { schema } else { &schema["items"] };
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let plain = |value: &Value| match value.as_array() {
                Some(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
                None => text(value),
            };
            let others = item["get"]["parameters"].as_array().into_iter().flatten();
            let needed: String = others
                .filter(|other| other["in"] == "query" && other["required"] == true && other["name"] != name)
                .map(|other| format!("&{}={}", other["name"].as_str().unwrap(), plain(&other["example"])))
                .collect();
            let status = |value: &str| match parameter["in"].as_str() {
                Some("path") => service.get(&path.replace(&format!("{{{name}}}"), value)).status,
                _ => {
                    let path = path.replace("{crypto_id}", "x").replace("{id}", "x");
                    service.get(&format!("{path}?{name}={value}{needed}")).status
                }
            };
            let mut accepted: Vec<String> =
                schema["enum"].as_array().into_iter().flatten().map(plain).collect();
            accepted.extend(
                [
                    &schema["minimum"],
                    &schema["maximum"],
                    &schema["default"],
                    &schema["example"],
                    &parameter["example"],
                ]
                .into_iter()
                .filter(|value| !value.is_null())
                .map(plain),
            );
            for value in accepted {
                assert!(
                    [200, 404].contains(&status(&value)),
                    "{path} {name}={value} is documented as allowed"
                );
            }
            if let Some(maximum) = schema["maximum"].as_u64() {
                assert_eq!(status(&(maximum + 1).to_string()), 422, "{path} {name}");
            }
            if let Some(most) = parameter["schema"]["maxItems"].as_u64() {
                let items: Vec<String> = (0..=most).map(|number| number.to_string()).collect();
                assert_eq!(status(&items.join(",")), 422, "{path} {name}");
            }
            if let Some(most) = schema["maxLength"].as_u64() {
                assert_eq!(status(&"x".repeat(most as usize + 1)), 422, "{path} {name}");
            }
        }
    }
    assert_eq!(
        service.get("/data").header("etag"),
        service.get("/data?sort_by=created_at&order=desc&limit=10&offset=0").header("etag")
    );
}

#[test]
fn swagger_ui_comes_from_the_binary_alone() {
    let (_database, service) = service_with("");
    let redirect = service.get("/docs");
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("docs/")));
    let page = service.get("/docs/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
    assert!(page.body.contains("swagger-ui"), "{}", page.body);
    assert!(!page.body.contains("http://") && !page.body.contains("https://"), "{}", page.body);
    let linked = page.body.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    let mut files = 0;
    for file in linked {
        let answer = service.get(&format!("/docs/{}", file.trim_start_matches("./")));
        assert_eq!(answer.status, 200, "{file}");
        files += 1;
    }
    assert!(files >= 3, "{}", page.body);
    let start = service.get("/docs/swagger-initializer.js").body;
    assert!(start.contains("../openapi.json") && start.contains("validatorUrl: null"), "{start}");
    assert!(!page.body.contains("<script>"), "inline scripts are against the policy");
}
