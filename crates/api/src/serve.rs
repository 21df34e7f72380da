//! Serving until a signal comes: the listeners before anything else, and an end that loses no request.

use std::io;
use std::net::TcpListener;

use actix_web::rt::System;
use actix_web::rt::signal::unix::{Signal, SignalKind, signal};
use kasparro_api::{Handle, Listeners};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::cli::Failure;
use crate::listen::Address;
use crate::settings::Settings;

/// Serves until a signal comes.
pub(crate) fn serve(settings: &Settings) -> Result<(), Failure> {
    allow_many_files();
    let public = listen(&settings.public, "PORT")?;
    let metrics = settings.metrics.as_ref().map_or(Ok(None), listen_for_metrics)?;
    let failed = |error: io::Error| Failure::Io(format!("cannot serve: {error}"));
    let port = public.local_addr().map_err(failed)?.port();
    let shown = settings.public.shown(port);
    let system = System::new();
    system
        .block_on(async {
            if let Some(metrics) = &metrics {
                log::info!("metrics: http://{}/metrics", metrics.local_addr()?);
            }
            let service = kasparro_api::start(&settings.config, Listeners { public, metrics })?;
            actix_web::rt::spawn(stop_on_signal(service.handle())?);
            log::info!("serving http://{shown}/ (documentation: /docs, data: /data)");
            service.run().await
        })
        .map_err(failed)?;
    // Its end would wait for reads that a silent database never answers; the end of the process does not.
    std::mem::forget(system);
    log::info!("stopped");
    Ok(())
}

/// Each connection is a file. Systems allow few unless a program asks for as many as it may have.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log::debug!("the number of open files stays as it is: {error}");
    }
}

fn listen(address: &Address, setting: &str) -> Result<TcpListener, Failure> {
    let Address { host, port, .. } = address;
    TcpListener::bind((host.as_str(), *port)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Failure::Io(format!(
            "port {port} is taken by another program: stop it, or choose another {setting}"
        )),
        io::ErrorKind::PermissionDenied => {
            Failure::Io(format!("port {port} may not be used by this user: choose a {setting} above 1023"))
        }
        _ => Failure::Configuration(format!("cannot listen on {address}: {error}")),
    })
}

/// A second service on the same machine gets along without metrics, unless it was told where to have them.
fn listen_for_metrics(address: &Address) -> Result<Option<TcpListener>, Failure> {
    match listen(address, "METRICS_PORT") {
        Ok(listener) => Ok(Some(listener)),
        Err(Failure::Io(why)) if !address.is_given => {
            log::warn!("no metrics are served: {why}");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// SIGTERM: unready for a while, so that nobody is sent here any more; then no new connections, and requests in flight
/// are answered. Ctrl-C: the same without the wait. A second signal ends it at once.
fn stop_on_signal(handle: Handle) -> io::Result<impl Future<Output = ()> + 'static> {
    let mut signals = Signals::listen()?;
    Ok(async move {
        let terminated = next_is_terminate(&mut signals).await;
        let gentle = handle.clone();
        actix_web::rt::spawn(async move { gentle.stop_gently(terminated).await });
        next_is_terminate(&mut signals).await;
        log::info!("stopping at once");
        handle.stop_at_once().await;
    })
}

struct Signals {
    /// Those after which clients are to notice first.
    announced: Vec<Signal>,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let mut announced = vec![signal(SignalKind::terminate())?];
        if !keeps_hangups() {
            announced.push(signal(SignalKind::hangup())?);
        }
    })
    .await
}
