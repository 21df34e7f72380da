//! `GET /problems` and `GET /problems/{code}`: the table of errors, and what the `type` of a problem leads to.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::json;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::problem::{Code, Kind, Problem};
use crate::{params, problem_page, schemas};

/// Parameters of `GET /problems/{code}`.
struct Segment;

impl IntoParams for Segment {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let code = schemas::segment("code", "Stable name of the kind.", schemas::problem_code());
        vec![code.example(Some(json!("invalid_parameter"))).build()]
    }
}

/// Lists every kind of failure: the table of errors.
#[utoipa::path(get, path = "/problems", tag = "service", operation_id = "problems",
    responses((status = 200, description = "Every kind of failure; a page for browsers.",
        content((Vec<Kind> = "application/json"), (String = "text/html")))))]
pub(crate) async fn list(request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    Ok(match problem_page::is_wanted(&request) {
        true => html(problem_page::list()),
        false => json(&Code::ALL.iter().map(|code| code.kind()).collect::<Vec<_>>()),
    })
}

/// Explains a kind of failure: the `type` of every problem leads here.
#[utoipa::path(get, path = "/problems/{code}", tag = "service", operation_id = "problem",
    params(Segment),
    responses((status = 200, description = "The kind of failure; a page for browsers.",
        content((Kind = "application/json"), (String = "text/html")))))]
pub(crate) async fn show(request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    let name = params::path_text(&request, "code")?;
    let code = Code::ALL.iter().find(|code| code.kind().code == name).ok_or_else(|| {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.kind().code).collect();
        Problem::new(Code::UnknownProblem, format!("the kinds of failures are {}", names.join(", ")))
    })?;
    Ok(match problem_page::is_wanted(&request) {
        true => html(problem_page::one(code.kind())),
        false => json(code.kind()),
    })
}

fn json(value: &impl Serialize) -> HttpResponse {
    described().json(value)
}

fn html(page: String) -> HttpResponse {
    described()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, problem_page::POLICY.as_str()))
        .body(page)
}

/// It changes with the program only, and a browser gets another form than a program.
fn described() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .insert_header((header::VARY, "Accept"));
    response
}
