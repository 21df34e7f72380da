//! What is refused, and how.

use serde_json::Value;

use crate::support::{Answer, SOURCES, service_with};

const JSON_ROUTES: [&str; 9] =
    ["/", "/health", "/data", "/data/x", "/stats", "/stats/summary", "/livez", "/readyz", "/openapi.json"];

#[track_caller]
fn refused(answer: &Answer, parameter: &str) -> Value {
    assert_eq!(answer.status, 422, "{answer:?}");
    let body = answer.problem();
    assert_eq!(body["code"], "invalid_parameter");
    let errors = body["errors"].as_array().unwrap();
    let error = errors.iter().find(|error| error["parameter"] == parameter);
    let error = error.unwrap_or_else(|| panic!("{parameter} is not named: {body}")).clone();
    assert!(!error["message"].as_str().unwrap().is_empty() && !error["allowed"].as_str().unwrap().is_empty());
    error
}

#[test]
fn a_bad_parameter_is_named_with_what_is_allowed() {
    let (_database, service) = service_with(SOURCES);
    for (query, parameter, allowed) in [
        ("limit=0", "limit", "a whole number from 1 to 100"),
        ("limit=101", "limit", "a whole number from 1 to 100"),
        ("limit=-1", "limit", "a whole number from 1 to 100"),
        ("limit=1.5", "limit", "a whole number from 1 to 100"),
        ("limit=ten", "limit", "a whole number from 1 to 100"),
        ("limit=+5", "limit", "a whole number from 1 to 100"),
        ("limit=1000000000000000000000000000000", "limit", "a whole number from 1 to 100"),
        ("limit=", "limit", "a value, or leave the parameter out"),
        ("limit", "limit", "a value, or leave the parameter out"),
        ("limit=5&limit=5", "limit", "once"),
        ("offset=-1", "offset", "a whole number from 0 to"),
        ("offset=100001", "offset", "`cursor`"),
        ("sort_by=id", "sort_by", "one of created_at, price_usd, market_cap_usd"),
        ("sort_by=__class__", "sort_by", "one of created_at, price_usd, market_cap_usd"),
        ("order=up", "order", "one of desc, asc"),
        ("source=", "source", "a value, or leave the parameter out"),
        ("source=binance", "source", "one of coingecko, coinpaprika, csv"),
        ("source=a%00b", "source", "without control characters"),
        ("crypto_id=a%0Ab", "crypto_id", "without control characters"),
        ("source=csv,", "source", "items between commas"),
        ("source=csv,binance", "source", "one of coingecko, coinpaprika, csv"),
        ("crypto_id=,", "crypto_id", "items between commas"),
        ("latest=yes", "latest", "one of false, true"),
        ("fields=price", "fields", "one of id, crypto_id"),
        ("latest=true&from=yesterday", "from", "a time as in"),
        ("latest=true&from=2024-02-30T00:00:00Z", "from", "a time as in"),
        ("latest=true&from=2024-02-03T00:00:00Z&to=2024-02-02T23:59:59Z", "from", "at most `to`"),
        ("latest=true&min_price_usd=2&max_price_usd=1.99", "min_price_usd", "at most `max_price_usd`"),
        ("latest=true&min_price_usd=-1", "min_price_usd", "a number from 0"),
        ("latest=true&min_price_usd=NaN", "min_price_usd", "a number from 0"),
        ("format=xml", "format", "one of json, ndjson, csv"),
        ("cursor=abc", "cursor", "`next_cursor` of a page"),
        ("page=2", "page", "one of source, crypto_id, symbol, latest, from, to"),
        ("Limit=5", "Limit", "one of source"),
    ] {
        let error = refused(&service.get(&format!("/data?{query}")), parameter);
        assert!(error["allowed"].as_str().unwrap().contains(allowed), "{query}: {error}");
    }
    refused(&service.get(&format!("/data?source={}", "x".repeat(257))), "source");
    refused(&service.get("/data/x%00y"), "crypto_id");
    refused(&service.get(&format!("/data/{}", "x".repeat(257))), "crypto_id");
    refused(&service.get("/data/x?source=binance"), "source");
    refused(&service.get("/data/x?limit=1"), "limit");
}

#[test]
fn close_spellings_are_offered() {
    let (_database, service) = service_with("");
    for (query, parameter, meant) in [
        ("sort_by=price", "sort_by", "did you mean `price_usd`?"),
        ("sort_by=marketcap_usd", "sort_by", "did you mean `market_cap_usd`?"),
        ("order=DESC", "order", "did you mean `desc`?"),
        ("source=coingeko", "source", "did you mean `coingecko`?"),
        ("offest=3", "offest", "did you mean `offset`?"),
        ("sort=price_usd", "sort", "did you mean `sort_by`?"),
    ] {
        let error = refused(&service.get(&format!("/data?{query}")), parameter);
        assert!(error["message"].as_str().unwrap().contains(meant), "{query}: {error}");
    }
}

#[test]
fn all_bad_parameters_are_named_at_once() {
    let (_database, service) = service_with("");
    let body = service.get("/data?limit=0&order=up&foo=1").problem();
    let named: Vec<_> =
        body["errors"].as_array().unwrap().iter().map(|e| e["parameter"].as_str().unwrap()).collect();
    assert_eq!(named, ["order", "limit", "foo"]);
}

#[test]
fn routes_without_parameters_take_none() {
    let (_database, service) = service_with("");
    for route in JSON_ROUTES {
        refused(&service.get(&format!("{route}?x=1")), "x");
    }
}

#[test]
fn a_cursor_belongs_to_its_query() {
    let filled = [
        SOURCES,
        &crate::support::batch(1, "csv", "2024-03-01Z"),
        &crate::support::coin(1, 3, "a"),
        &crate::support::observation(1, 1, "2024-03-01Z", "1", "1"),
        &crate::support::observation(1, 1, "2024-03-02Z", "2", "2"),
        crate::support::SETTLE,
    ]
    .concat();
    let (_database, service) = service_with(&filled);
    let page = service.json("/data?limit=1&sort_by=price_usd");
    let cursor = page["next_cursor"].as_str().unwrap();
    service.json(&format!("/data?limit=50&sort_by=price_usd&cursor={cursor}"));
    for query in [
        "sort_by=market_cap_usd",
        "sort_by=price_usd&order=asc",
        "sort_by=price_usd&source=csv",
        "sort_by=created_at",
    ] {
        refused(&service.get(&format!("/data?{query}&cursor={cursor}")), "cursor");
    }
    let changed = format!("{}A", &cursor[..cursor.len() - 1]);
    if changed != cursor {
        refused(&service.get(&format!("/data?sort_by=price_usd&cursor={changed}")), "cursor");
    }
    refused(&service.get(&format!("/data?sort_by=price_usd&offset=1&cursor={cursor}")), "offset");
}

#[test]
fn broken_encoding_is_a_bad_request() {
    let (_database, service) = service_with("");
    for path in [
        "/data?source=%ff",
        "/data?source=%zz",
        "/data?source=%4",
        "/data?%ff=1",
        "/data/%ff",
        "/data/%C3%28",
    ] {
        let answer = service.get(path);
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.problem()["code"], "malformed_request");
    }
}

#[test]
fn unknown_routes_are_problems() {
    let (_database, service) = service_with("");
    for path in
        ["/nowhere", "/data/", "/data/a/b", "/stats/", "/metrics", "/.env", "/docs/nothing.js", "//", "/%00"]
    {
        let answer = service.get(path);
        assert_eq!((answer.status, &answer.problem()["code"]), (404, &"unknown_route".into()), "{path}");
    }
}

#[test]
fn other_methods_are_not_allowed() {
    let (_database, service) = service_with("");
    for route in JSON_ROUTES {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let answer = service.request(method, route, &[]);
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method} {route}");
            assert_eq!(answer.problem()["code"], "method_not_allowed");
        }
    }
    assert_eq!(service.request("POST", "/nowhere", &[]).status, 404);
}

#[test]
fn head_is_get_without_the_body() {
    let (_database, service) = service_with(SOURCES);
    for route in JSON_ROUTES {
        if route == "/health" {
            continue; // its body changes by itself
        }
        let (get, head) = (service.get(route), service.request("HEAD", route, &[]));
        assert_eq!(head.status, get.status, "{route}");
        assert_eq!(head.body, "", "{route}");
        for name in ["content-type", "etag", "x-data-version", "cache-control", "link"] {
            assert_eq!(head.header(name), get.header(name), "{route} {name}");
        }
        if get.status == 200 {
            assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{route}");
        }
    }
}

#[test]
fn the_client_may_choose_a_harmless_request_id() {
    let (_database, service) = service_with("");
    let id_for = |sent: &str| {
        service.request("GET", "/livez", &[("X-Request-ID", sent)]).header("x-request-id").unwrap().to_owned()
    };
    for sent in ["a", "A.b_c-9", &"x".repeat(64)] {
        assert_eq!(id_for(sent), sent);
    }
    for sent in ["", "a b", "a\tb", "ü", "<script>", &"x".repeat(65), &"x".repeat(10_000)] {
        let made = id_for(sent);
        assert_eq!((made.len(), made.as_bytes()[14]), (36, b'7'), "{sent:?} became {made}");
    }
    // What is no header at all is refused before anything reads it, and not sent back.
    let refused = service.request("GET", "/livez", &[("X-Request-ID", "\u{1b}[31m")]);
    assert!(refused.status == 400 && !format!("{refused:?}").contains("[31m"), "{refused:?}");
    let problem = service.request("GET", "/nowhere", &[("X-Request-ID", "mine")]).problem();
    assert_eq!(problem["request_id"], "mine");
}

#[test]
fn every_problem_has_a_page() {
    let (_database, service) = service_with("");
    for path in ["/nowhere", "/data/x", "/data?limit=0", "/data?source=%ff"] {
        let problem = service.get(path).problem();
        let page = service.json(problem["type"].as_str().unwrap());
        for member in ["code", "status", "title"] {
            assert_eq!(page[member], problem[member]);
        }
        assert!(page["remedy"].is_string());
    }
    assert_eq!(service.get("/problems/nothing").problem()["code"], "unknown_problem");
}

/// The table of errors, for programs and for people.
#[test]
fn every_problem_is_explained_in_both_forms() {
    let (_database, service) = service_with("");
    let table = service.json("/problems");
    let kinds = table.as_array().unwrap();
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let list = service.request("GET", "/problems", &[("Accept", browser)]);
    assert_eq!(list.header("content-type"), Some("text/html; charset=utf-8"));
    for kind in kinds {
        let (code, title) = (kind["code"].as_str().unwrap(), kind["title"].as_str().unwrap());
        let path = format!("/problems/{code}");
        assert_eq!(service.json(&path), *kind);
        assert!(list.body.contains(&format!("href=\"{path}\"")) && list.body.contains(title), "{code}");
        let page = service.request("GET", &path, &[("Accept", browser)]);
        assert!(page.body.contains(&format!("<h1>{title}</h1>")), "{}", page.body);
        assert!(page.body.contains("<h1>") && !page.body.contains('`') && !page.body.contains("<script"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(page.header("vary"), Some("Accept"));
    }
    let statuses: Vec<_> = kinds.iter().map(|kind| kind["status"].as_u64().unwrap()).collect();
    assert!(statuses.is_sorted() && statuses.len() > 15, "{statuses:?}");
    for accept in ["*/*", "application/json", "application/json, text/html;q=0.9", "", "garbage;;"] {
        let answer = service.request("GET", "/problems", &[("Accept", accept)]);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{accept}");
    }
}

#[test]
fn every_answer_has_the_security_headers() {
    let (_database, service) = service_with("");
    for path in
        ["/", "/data", "/docs/", "/docs", "/nowhere", "/data?limit=0", "/readyz", "/docs/swagger-ui.css"]
    {
        let answer = service.get(path);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert!(
            answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"),
            "{path}"
        );
        assert!(
            answer.header("cache-control").is_some() && answer.header("x-request-id").is_some(),
            "{path}"
        );
        assert_eq!(answer.header("server"), None, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
}

#[test]
fn a_broken_table_is_an_internal_failure_without_details() {
    let (database, service) = crate::support::uncached_service_with(SOURCES);
    service.json("/stats");
    crate::support::run(&database, "alter table etl_checkpoints rename column updated_at to secret_name");
    let answer = service.get("/stats");
    assert_eq!((answer.status, &answer.problem()["code"]), (500, &"internal".into()));
    for word in ["secret_name", "updated_at", "etl_", "column", "select"] {
        assert!(!answer.body.contains(word), "{word} in {}", answer.body);
    }
}
