//! Puts the service together.

use std::future::ready;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request};
use actix_server::{Server, ServerHandle};
use actix_service::{
    IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, Error, rt, web};
use utoipa_actix_web::AppExt;

use crate::config::Config;
use crate::db::Database;
use crate::edge::{Draining, Edge};
use crate::export::Exports;
use crate::express::{Lane, Remembering, Worker};
use crate::findings::{Orders, Spans, Totals};
use crate::freshness::Bound;
use crate::gate::Gate;
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

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Most open connections to `/metrics`.
const MAX_METRICS_CONNECTIONS: usize = 32;

/// Where the service listens.
#[derive(Debug)]
pub struct Listeners {
    /// For everybody.
    pub public: TcpListener,
    /// For `/metrics`, which is nowhere else.
    pub metrics: Option<TcpListener>,
}

/// A service that runs once it is waited for.
#[must_use = "it does nothing unless it is run"]
pub struct Service {
    public: Server,
    metrics: Option<Server>,
    draining: Draining,
    drain: Duration,
}

/// Stops a service.
#[derive(Clone)]
pub struct Handle {
    public: ServerHandle,
    metrics: Option<ServerHandle>,
    draining: Draining,
    drain: Duration,
}

impl Service {
    /// A handle to stop it.
    pub fn handle(&self) -> Handle {
        Handle {
            public: self.public.handle(),
            metrics: self.metrics.as_ref().map(Server::handle),
            draining: self.draining.clone(),
            drain: self.drain,
        }
    }

    /// Serves until a handle stops it.
    ///
    /// # Errors
    /// When the listeners cannot be used any more.
    pub async fn run(self) -> io::Result<()> {
        let metrics = self.metrics.map(|metrics| (metrics.handle(), rt::spawn(metrics)));
        let served = self.public.await;
        if let Some((handle, task)) = metrics {
            // To the end: what happened while the last requests were answered can still be read.
            drop(handle.stop(false));
            let _ = task.await;
        }
        served
    }
}

impl Handle {
    /// Calls the service unready, waits for as long as the settings say if `announced`, accepts no connection after
    /// that, and answers the requests in flight.
    pub async fn stop_gently(&self, announced: bool) {
        self.draining.begin();
        // Said when it is true: whoever reads it finds the service unready.
        log::info!("stopping: requests in flight are answered");
        if announced {
            rt::time::sleep(self.drain).await;
        }
        self.public.stop(true).await;
    }

    /// Ends the service now, whatever is in flight. There is no need to wait for it.
    pub fn stop_at_once(&self) -> impl Future<Output = ()> + use<> {
        if let Some(metrics) = &self.metrics {
            drop(metrics.stop(false));
        }
        self.public.stop(false)
    }
}

/// Puts a service together on its listeners. The database may be down. Call it inside a runtime.
///
/// The caller binds the listeners and handles signals: a taken port is found out before anything else, and a test
/// may run many services in one process.
///
/// # Errors
/// When a listener cannot be used.
pub fn start(config: &Config, listeners: Listeners) -> io::Result<Service> {
    cut_stalled_clients(&listeners.public, config.stalled)?;
    let database = Database::new(&config.database_url, config.pool_size.get());
    let snapshots =
        web::Data::new(Snapshots::start(database.clone(), &config.database_url, config.cache_bytes));
    let exports =
        web::Data::new(Exports::new(database.clone(), config.exports.get(), config.export_max_rows));
    let totals = web::Data::new(Totals::default());
    let orders = web::Data::new(Orders::default());
    let spans = web::Data::new(Spans::default());
    let database = web::Data::new(database);
    let (draining, counters) = (Draining::default(), Arc::new(Metrics::default()));
    let edge = |gate, cors| Edge {
        metrics: Arc::clone(&counters),
        draining: draining.clone(),
        gate,
        cors,
        hsts: config.hsts_secs.and_then(Edge::hsts),
    };
    let metrics = listeners.metrics.map(|listener| {
        let (edge, snapshots) = (web::Data::new(edge(None, None)), snapshots.clone());
        let shared = (edge.clone(), snapshots.clone());
        let app = move || {
            let app = App::new()
                .app_data(edge.clone())
                .app_data(database.clone())
                .app_data(snapshots.clone())
                .configure(routes::metrics)
                .default_service(web::to(routes::unknown))
                .wrap(from_fn(observe::every_request));
            app.into_factory()
        };
        let front = Front { name: "metrics", workers: 1, connections: MAX_METRICS_CONNECTIONS };
        serve(config, &front, listener, app, shared)
    });
    let edge = web::Data::new(edge(Gate::new(&config.admission), config.cors.clone()));
    let shared = (edge.clone(), snapshots.clone());
    let (stale_after, docs, admission) = (Bound(config.stale_after), config.docs, config.admission.clone());
    let app = move || {
        let (app, mut generated) = App::new()
            .app_data(edge.clone())
            .app_data(snapshots.clone())
            .app_data(exports.clone())
            .app_data(totals.clone())
            .app_data(orders.clone())
            .app_data(spans.clone())
            .app_data(web::Data::new(stale_after))
            .into_utoipa_app()
            .openapi(openapi::heading())
            .configure(routes::documented)
            .split_for_parts();
        openapi::describe_admission(&mut generated, &admission);
        let document = docs.then(|| Document::render(&generated));
        let app = app
            .configure(|config| routes::documentation(config, document.as_ref()))
            .default_service(web::to(routes::unknown))
            .wrap(from_fn(observe::every_request));
        app.into_factory()
    };
    let (workers, connections) = (config.workers.get(), config.max_connections.get());
    let front = Front { name: "public", workers, connections };
    let public = serve(config, &front, listeners.public, app, shared)?;
    Ok(Service { public, metrics: metrics.transpose()?, draining, drain: config.drain })
}

/// What is peculiar to a listener.
struct Front {
    name: &'static str,
    workers: usize,
    /// Most open connections.
    connections: usize,
}

/// Serves an app over lanes.
fn serve<A>(
    config: &Config,
    front: &Front,
    listener: TcpListener,
    app: impl Fn() -> A + Clone + Send + 'static,
    (edge, snapshots): (web::Data<Edge>, web::Data<Snapshots>),
) -> io::Result<Server>
where
    A: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<BoxBody>, Error = Error>
        + 'static,
    A::InitError: fmt::Debug,
{
    let address = listener.local_addr()?;
    let server = Server::build()
        .workers(front.workers)
        .max_concurrent_connections(front.connections.div_ceil(front.workers))
        // A blocked thread is a connection in use or one that was given up; more cannot be needed.
        .worker_max_blocking_threads(config.pool_size.get() * 4)
        .backlog(BACKLOG)
        .shutdown_timeout(config.shutdown.as_secs())
        .disable_signals();
    let stopping = server.graceful_shutdown_signal();
    let lanes = move || {
        let worker = Worker::new(edge.clone(), snapshots.clone());
        let stopping = stopping.clone();
        let inner = map_config(app(), |()| AppConfig::default());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .client_request_timeout(CLIENT_REQUEST_TIMEOUT)
            .client_disconnect_timeout(CLIENT_DISCONNECT_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            .local_addr(address)
            .on_connect_ext(Lane::tell)
            .finish(Remembering { inner, worker: Rc::clone(&worker) });
        let connect = move |stream: TcpStream| {
            let peer = stream.peer_addr().ok();
            let lane = stream
                .set_nodelay(true)
                .map(|()| Lane::new(stream, Rc::clone(&worker), CLIENT_REQUEST_TIMEOUT));
            ready(lane.map(|lane| (lane, Protocol::Http1, peer)).map_err(DispatchError::Io))
        };
        fn_service(connect).and_then(http)
    };
    Ok(server.listen(front.name, listener, lanes)?.run())
}

/// Has the kernel end a connection whose client takes nothing of what was sent, which the library never does. What a
/// listener has, its connections inherit.
fn cut_stalled_clients(listener: &TcpListener, after: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(listener).set_tcp_user_timeout(Some(after))?;
    let _ = (listener, after);
    Ok(())
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
