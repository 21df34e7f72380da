//! `GET /`: where everything is.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{params, problem::Problem};

/// Where everything is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Root {
    #[schema(value_type = String, example = "Kasparro: your own copy of the crypto market")]
    message: &'static str,
    /// Version of the program.
    #[schema(value_type = String, example = "0.1.0")]
    version: &'static str,
    /// Path of the documentation.
    #[schema(value_type = String, example = "/docs")]
    docs: &'static str,
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
pub(crate) async fn show(request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    Ok(HttpResponse::Ok().json(Root {
        message: "Kasparro: your own copy of the crypto market",
        version: env!("CARGO_PKG_VERSION"),
        docs: "/docs",
        endpoints: Endpoints { health: "/health", data: "/data", stats: "/stats" },
    }))
}
