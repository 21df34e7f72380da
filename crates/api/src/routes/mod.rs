//! Every route of the service. A route and its entry in the OpenAPI document are one declaration.

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::{Handler, HttpRequest, HttpResponse, Resource, Responder, web};
use utoipa::openapi::path::Paths;
use utoipa::openapi::{RefOr, schema::Schema};
use utoipa_actix_web::OpenApiFactory;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::openapi;
use crate::problem::{Code, Problem};

mod assets;
mod coin;
mod data;
mod docs;
mod export;
mod filter;
mod health;
mod lineage;
mod metrics;
mod probes;
mod problems;
mod quality;
mod query;
mod root;
mod runs;
mod stats;

/// The patterns of all routes, for labels of bounded number.
pub(crate) const PATTERNS: [&str; 25] = [
    "/",
    "/health",
    "/data",
    "/data/export",
    "/data/{crypto_id}",
    "/stats",
    "/stats/summary",
    "/assets",
    "/assets/{id}",
    "/assets/{id}/history",
    "/compare",
    "/lineage/{id}",
    "/quality",
    "/runs",
    "/runs/compare",
    "/runs/{id}",
    "/livez",
    "/readyz",
    "/metrics",
    "/problems",
    "/problems/{code}",
    "/openapi.json",
    "/docs",
    "/docs/",
    "/docs/{file}",
];

/// What can go wrong on a route that reads the database.
const READS: &[Code] = &[
    Code::MalformedRequest,
    Code::ContentTooLarge,
    Code::InvalidParameter,
    Code::Internal,
    Code::DatabaseUnavailable,
    Code::Busy,
    Code::SchemaMismatch,
];

/// What can go wrong on a route that answers from memory.
const ANSWERS: &[Code] = &[Code::MalformedRequest, Code::ContentTooLarge, Code::InvalidParameter];

/// Registers everything that the OpenAPI document describes.
pub(crate) fn documented(config: &mut ServiceConfig<'_>) {
    config
        .service(Endpoint::new(root::__path_show, root::show, ANSWERS))
        .service(Endpoint::new(health::__path_show, health::show, ANSWERS))
        .service(Endpoint::new(data::__path_list, data::list, READS))
        .service(Endpoint::new(export::__path_export, export::export, READS).with(&[Code::ExportTooLarge]))
        .service(Endpoint::new(coin::__path_newest, coin::newest, READS).with(&[Code::UnknownCoin]))
        .service(Endpoint::new(stats::__path_show, stats::show, READS))
        .service(Endpoint::new(stats::__path_summary, stats::summary, READS))
        .service(Endpoint::new(assets::__path_list, assets::list, READS))
        .service(Endpoint::new(assets::__path_show, assets::show, READS).with(&[Code::UnknownAsset]))
        .service(Endpoint::new(assets::__path_history, assets::history, READS).with(&[Code::UnknownAsset]))
        .service(Endpoint::new(assets::__path_compare, assets::compare, READS))
        .service(Endpoint::new(lineage::__path_show, lineage::show, READS).with(&[Code::UnknownObservation]))
        .service(Endpoint::new(quality::__path_show, quality::show, READS))
        .service(Endpoint::new(runs::__path_list, runs::list, READS))
        // Before the route of one run, which would take `compare` for a number.
        .service(Endpoint::new(runs::__path_compare, runs::compare, READS).with(&[Code::UnknownRun]))
        .service(Endpoint::new(runs::__path_show, runs::show, READS).with(&[Code::UnknownRun]))
        .service(Endpoint::new(probes::__path_live, probes::live, ANSWERS))
        .service(Endpoint::new(probes::__path_ready, probes::ready, READS).with(&[Code::ShuttingDown]))
        .service(Endpoint::new(problems::__path_list, problems::list, ANSWERS))
        .service(Endpoint::new(problems::__path_show, problems::show, ANSWERS).with(&[Code::UnknownProblem]));
}

/// Registers what the listener for metrics has.
pub(crate) fn metrics(config: &mut web::ServiceConfig) {
    config.service(reading("/metrics", metrics::show));
}

/// Registers the document itself and its reader, unless they are not wanted.
pub(crate) fn documentation(config: &mut web::ServiceConfig, document: Option<&openapi::Document>) {
    config.app_data(web::Data::new(root::HasDocs(document.is_some())));
    let Some(document) = document else { return };
    config
        .app_data(web::Data::new(document.clone()))
        .service(reading("/openapi.json", docs::document))
        .service(reading("/docs", docs::redirect))
        .service(reading("/docs/", docs::index))
        .service(reading("/docs/{file}", docs::file));
}

/// The answer to a path that no route has.
pub(crate) async fn unknown(_: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::UnknownRoute, "there is nothing at this path; GET / names the endpoints"))
}

/// A resource that answers GET and HEAD; every other method gets 405 with `Allow`.
fn reading<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args> + Clone,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::get().to(handler.clone())).route(web::head().to(handler))
}

/// A route with its entry in the document.
struct Endpoint<D> {
    description: D,
    failures: Vec<Code>,
    resource: Resource,
}

impl<D: OpenApiFactory> Endpoint<D> {
    /// `description` is what `#[utoipa::path]` makes of `handler`; the path comes from it.
    fn new<F, Args>(description: D, handler: F, failures: &[Code]) -> Self
    where
        F: Handler<Args> + Clone,
        Args: actix_web::FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let path = description.paths().paths.keys().next().cloned().unwrap_or_default();
        Self { description, failures: failures.to_vec(), resource: reading(&path, handler) }
    }

    /// Adds failures that only this route has.
    fn with(mut self, failures: &[Code]) -> Self {
        self.failures.extend_from_slice(failures);
        self
    }
}

impl<D> HttpServiceFactory for Endpoint<D> {
    fn register(self, config: &mut AppService) {
        self.resource.register(config);
    }
}

impl<D: OpenApiFactory> OpenApiFactory for Endpoint<D> {
    fn paths(&self) -> Paths {
        openapi::completed(self.description.paths(), &self.failures)
    }

    fn schemas(&self, schemas: &mut Vec<(String, RefOr<Schema>)>) {
        self.description.schemas(schemas);
    }
}
