//! `GET /`: where everything is.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{params, problem::Problem};

/// Whether the documentation is served.
pub(crate) struct HasDocs(pub(crate) bool);

/// Where everything is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Root {
    #[schema(value_type = String, example = "Kasparro: your own copy of the crypto market")]
    message: &'static str,
    /// Version of the program.
    #[schema(value_type = String, example = "0.1.0")]
    version: &'static str,
    /// Path of the documentation; null where it is switched off.
    #[schema(value_type = Option<String>, example = "/docs")]
    docs: Option<&'static str>,
    endpoints: Endpoints,
}

/// Paths of the main endpoints.
#[derive(Serialize, ToSchema)]
pub(crate) struct Endpoints {
    #[schema(value_type = String, example = "/health")]
    health: &'static str,
    #[schema(value_type = String, example = "/data")]
    data: &'static str,
    #[schema(value_type = String, example = "/stats")]
    stats: &'static str,
}

/// Names the endpoints.
#[utoipa::path(get, path = "/", tag = "service", operation_id = "root", responses(
    (status = 200, description = "The endpoints.", body = Root)
))]
pub(crate) async fn show(
    request: HttpRequest,
    has_docs: web::Data<HasDocs>,
) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    Ok(HttpResponse::Ok().json(Root {
        message: "Kasparro: your own copy of the crypto market",
        version: env!("CARGO_PKG_VERSION"),
        docs: has_docs.0.then_some("/docs"),
        endpoints: Endpoints { health: "/health", data: "/data", stats: "/stats" },
    }))
}
