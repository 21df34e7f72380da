//! `GET /livez` and `GET /readyz`: probes for whatever supervises the service.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::edge::Edge;
use crate::params;
use crate::problem::{Code, Problem};
use crate::snapshot::Snapshots;

/// The answer of a probe.
#[derive(Serialize, ToSchema)]
pub(crate) struct Probe {
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
}

/// Tells that the process answers. Never asks the database: restarting the service does not mend that.
#[utoipa::path(get, path = "/livez", tag = "service", operation_id = "livez", responses(
    (status = 200, description = "Alive.", body = Probe)
))]
pub(crate) async fn live(request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    Ok(HttpResponse::Ok().json(Probe { status: "ok" }))
}

/// Tells whether requests for data can be answered. Old data does not make the service unready; being about to stop
/// does.
#[utoipa::path(get, path = "/readyz", tag = "service", operation_id = "readyz", responses(
    (status = 200, description = "Ready.", body = Probe)
))]
pub(crate) async fn ready(
    request: HttpRequest,
    edge: web::Data<Edge>,
    snapshots: web::Data<Snapshots>,
) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    if edge.draining.has_begun() {
        return Err(Problem::new(Code::ShuttingDown, "the service is about to stop"));
    }
    snapshots.overview().await?;
    Ok(HttpResponse::Ok().json(Probe { status: "ok" }))
}
