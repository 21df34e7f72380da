//! `GET /problems/{code}`: what the `type` of a problem leads to.

use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::params;
use crate::problem::{Code, Kind, Problem};
use crate::schemas;

/// Parameters of `GET /problems/{code}`.
struct Segment;

impl IntoParams for Segment {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let code = schemas::segment("code", "Stable name of the kind.", schemas::problem_code());
        vec![code.example(Some(json!("invalid_parameter"))).build()]
    }
}

/// Explains a kind of failure: the `type` of every problem leads here.
#[utoipa::path(get, path = "/problems/{code}", tag = "service", operation_id = "problem",
    params(Segment),
    responses((status = 200, description = "The kind of failure.", body = Kind)))]
pub(crate) async fn show(request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    let name = params::path_text(&request, "code")?;
    let code = Code::ALL.iter().find(|code| code.kind().code == name).ok_or_else(|| {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.kind().code).collect();
        Problem::new(Code::UnknownProblem, format!("the kinds of failures are {}", names.join(", ")))
    })?;
    Ok(HttpResponse::Ok().json(code.kind()))
}
