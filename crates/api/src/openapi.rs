//! The OpenAPI document, generated from the routes.

use std::sync::Arc;

use actix_web::App;
use serde_json::json;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, Paths};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, Header, OpenApi as Generated, Ref, RefOr, Response, ResponseBuilder};
use utoipa_actix_web::AppExt;

use crate::gate::{self, Admission};
use crate::problem::{Code, PROBLEM_JSON, ParameterError, Problem, ProblemBody};
use crate::{examples, routes};

/// What stands above the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Kasparro",
        description = "Your own copy of the crypto market: observations from several sources, digit for digit.\n\n\
            Amounts are JSON numbers in plain decimal notation with all digits; times are RFC 3339 in UTC; ids are \
            opaque text. Every failure is `application/problem+json` (RFC 9457) with the request id. Every GET \
            answers HEAD as well. Answers of 1 KiB and more about data are compressed when `Accept-Encoding` \
            allows gzip, br or zstd. Answers about data carry an `ETag`: ask again with `If-None-Match`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "This service.")),
    tags(
        (name = "data", description = "Observations."),
        (name = "assets", description = "One coin, whatever the sources call it."),
        (name = "runs", description = "The launches of the ETL, and what they differ in."),
        (name = "provenance", description = "Where numbers come from."),
        (name = "stats", description = "How much there is, and how the runs went."),
        (name = "service", description = "The service itself."),
    ),
    components(schemas(ProblemBody, ParameterError)),
)]
struct Heading;

/// The document, rendered once.
#[derive(Clone, Debug)]
pub(crate) struct Document(Arc<str>);

impl Document {
    /// Renders the document.
    pub(crate) fn render(generated: &Generated) -> Self {
        let mut text = generated.to_pretty_json().unwrap_or_default();
        text.push('\n');
        Self(text.into())
    }

    /// The text.
    pub(crate) fn json(&self) -> String {
        self.0.as_ref().to_owned()
    }
}

/// The text above the routes, to which they are added.
pub(crate) fn heading() -> Generated {
    let mut heading = Heading::openapi();
    heading.info.version = env!("CARGO_PKG_VERSION").to_owned();
    heading
}

/// The OpenAPI document of the service, as JSON.
pub fn document() -> String {
    let (_, generated) =
        App::new().into_utoipa_app().openapi(heading()).configure(routes::documented).split_for_parts();
    Document::render(&generated).json()
}

/// Adds to each operation an answer, the failures that it may answer, and the headers that every answer has.
pub(crate) fn completed(mut paths: Paths, failures: &[Code]) -> Paths {
    for item in paths.paths.values_mut() {
        if let Some(operation) = &mut item.get {
            examples::add(operation);
            for statuses in by_status(failures) {
                add_failure(operation, &statuses);
            }
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    response.headers.insert("X-Request-ID".to_owned(), RefOr::T(request_id_header()));
                }
            }
        }
    }
    paths
}

/// Adds what clients need to be let in, where that is configured.
pub(crate) fn describe_admission(document: &mut Generated, admission: &Admission) {
    for (path, item) in &mut document.paths.paths {
        let Some(operation) = &mut item.get else { continue };
        if admission.needs_key() && !gate::is_open(path) {
            add_failure(operation, &[Code::Unauthorized]);
            let schemes = ["bearer", "header"];
            operation.security =
                Some(schemes.map(|name| SecurityRequirement::new::<_, _, &str>(name, [])).to_vec());
        }
        if admission.quota.is_some() && !gate::is_unlimited(path) {
            add_failure(operation, &[Code::TooManyRequests]);
        }
    }
    if admission.needs_key() {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", bearer);
        components.add_security_scheme("header", header);
    }
}

/// Failures of the same status share a response.
fn by_status(failures: &[Code]) -> Vec<Vec<Code>> {
    let mut sorted = failures.to_vec();
    sorted.sort_by_key(|code| code.kind().status);
    sorted.chunk_by(|a, b| a.kind().status == b.kind().status).map(<[Code]>::to_vec).collect()
}

fn add_failure(operation: &mut Operation, codes: &[Code]) {
    let Some(status) = codes.first().map(|code| code.kind().status) else { return };
    let response = operation.responses.responses.entry(status.to_string());
    response.or_insert_with(|| RefOr::T(failure(codes, status)));
}

fn failure(codes: &[Code], status: u16) -> Response {
    let description: Vec<String> =
        codes.iter().map(|code| format!("`{}`: {}", code.kind().code, code.kind().meaning)).collect();
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .example(codes.first().map(|code| example(*code)))
        .build();
    let mut response =
        ResponseBuilder::new().description(description.join("\n\n")).content(PROBLEM_JSON, content);
    if matches!(status, 429 | 503) {
        response = response.header("Retry-After", text_header("Seconds until another try makes sense."));
    }
    if status == 401 {
        response = response.header("WWW-Authenticate", text_header("How a key is sent."));
    }
    response.build()
}

fn example(code: Code) -> serde_json::Value {
    let problem = match code {
        Code::InvalidParameter => Problem::parameters(vec![ParameterError {
            parameter: "sort_by".to_owned(),
            message: "`price` is not allowed: did you mean `price_usd`?".to_owned(),
            allowed: "one of created_at, price_usd, market_cap_usd".to_owned(),
        }]),
        code => Problem::new(code, code.kind().meaning),
    };
    json!(problem.body("0193f1c2-7f3a-7c11-9d6e-2f1f4a1f0a55"))
}

fn request_id_header() -> Header {
    text_header("Id of the request: the client's own when it sent a harmless one, else a new one.")
}

fn text_header(description: &str) -> Header {
    let mut header = Header::new(Object::with_type(Type::String));
    header.description = Some(description.to_owned());
    header
}
