//! `GET /data/export`: everything that the filters leave, in one stream.

use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::export::{Export, Exports};
use crate::findings::Totals;
use crate::format::Format;
use crate::params::Params;
use crate::problem::Problem;

use super::filter::Filter;

/// The parameters: those of `GET /data` without order and pages.
struct Query;

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = Filter::parameters();
        all.push(Format::parameter());
        all
    }
}

/// Streams all observations that the filters leave, as they were at one moment.
///
/// The rows come by source and month, then coin and time. The same data gives the same bytes. An export is whole or it
/// is refused: what has more rows than the service exports at once (5 million unless set otherwise) gets
/// `export_too_large` and no row. A transfer that ends before its end, by HTTP's own framing, is not whole;
/// `X-Total-Count` says how many rows it has. JSON is an array.
#[utoipa::path(get, path = "/data/export", tag = "data", operation_id = "export", params(Query), responses(
    (status = 200, description = "The observations.", content((Vec<crate::observation::Observation> = "application/json"),
        (String = "application/x-ndjson"), (String = "text/csv")), headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch."),
        ("X-Total-Count" = String, description = "Number of rows."),
        ("Content-Disposition" = String, description = "A name for the file.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn export(
    request: HttpRequest,
    exports: web::Data<Exports>,
    totals: web::Data<Totals>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let filter = Filter::take(&request, &mut params);
    params.finish()?;
    let totals = Totals::clone(&totals);
    let export = Export {
        canonical: serde_json::to_string(&("export", filter.rows(), filter.shape())).unwrap_or_default(),
        format: filter.format,
        shown: filter.shown(),
        select: move |connection: &mut _, known: &[_]| filter.select(connection, known, &totals),
    };
    exports.answer(&request, export).await
}
