//! Puts the service together.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use utoipa_actix_web::AppExt;

use crate::config::Config;
use crate::db::Database;
use crate::freshness::Bound;
use crate::metrics::Metrics;
use crate::openapi::{self, Document};
use crate::snapshot::Snapshots;
use crate::{observe, routes};

/// Longest time for a client to send the head of a request.
const CLIENT_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time for a client to take the end of a connection.
const CLIENT_DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an idle connection is kept for the next request. Longer than what proxies keep theirs by default would
/// be better for them; this is what keeps idle clients from using up the connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Most open connections of a worker.
const MAX_CONNECTIONS: usize = 1_000;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Longest time for requests in flight to end when the service is stopped, in seconds.
const SHUTDOWN_TIMEOUT_SECS: u64 = 10;

/// Serves on a listener until the handle of the server stops it. The database may be down.
///
/// The caller binds the listener and handles signals: a taken port is found out before anything else, and a test
/// may run many servers in one process.
///
/// # Errors
/// When the listener cannot be used.
pub fn start(config: &Config, listener: TcpListener) -> io::Result<Server> {
    let database = Database::new(&config.database_url, config.pool_size.get());
    let snapshots =
        web::Data::new(Snapshots::start(database.clone(), &config.database_url, config.cache_bytes));
    let database = web::Data::new(database);
    let stale_after = Bound(config.stale_after);
    let metrics = web::Data::new(Metrics::default());
    let server = HttpServer::new(move || {
        let (app, generated) = App::new()
            .app_data(database.clone())
            .app_data(snapshots.clone())
            .app_data(web::Data::new(stale_after))
            .app_data(metrics.clone())
            .into_utoipa_app()
            .openapi(openapi::heading())
            .configure(routes::documented)
            .split_for_parts();
        let document = Document::render(&generated);
        app.configure(|config| routes::documentation(config, &document))
            .default_service(web::to(routes::unknown))
            .wrap(from_fn(observe::every_request))
    });
    let server = server
        .workers(config.workers.get())
        // A blocked thread is a connection in use or one that was given up; more cannot be needed.
        .worker_max_blocking_threads(config.pool_size.get() * 4)
        .client_request_timeout(CLIENT_REQUEST_TIMEOUT)
        .client_disconnect_timeout(CLIENT_DISCONNECT_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .max_connections(MAX_CONNECTIONS)
        .backlog(BACKLOG)
        .tcp_nodelay(true)
        .shutdown_timeout(SHUTDOWN_TIMEOUT_SECS)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// Whether the database can be used, as one sentence when it cannot.
///
/// # Errors
/// The sentence, with what the database said.
pub async fn check(config: &Config) -> Result<(), String> {
    Database::new(&config.database_url, 1).check().await.map_err(|problem| match problem.cause() {
        Some(cause) => format!("{}: {}", problem.detail(), cause.trim_end()),
        None => problem.detail().to_owned(),
    })
}
