//! Serving until a signal comes: the listeners before anything else, and an end that loses no request.

use std::net::TcpListener;
use std::task::Poll;
use std::{fs, io};

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

/// SIGTERM, and the SIGHUP of a terminal that closes: unready for a while, so that nobody is sent here any more; then no
/// new connections, and requests in flight are answered. Ctrl-C: the same without the wait. A second signal ends it at
/// once.
fn stop_on_signal(handle: Handle) -> io::Result<impl Future<Output = ()> + 'static> {
    let mut signals = Signals::listen()?;
    Ok(async move {
        let is_announced = signals.next_is_announced().await;
        let gentle = handle.clone();
        actix_web::rt::spawn(async move { gentle.stop_gently(is_announced).await });
        signals.next_is_announced().await;
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
        Ok(Self { announced, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for any of them. Returns whether it is one after which clients are to notice first.
    async fn next_is_announced(&mut self) -> bool {
        std::future::poll_fn(|context| {
            if self.announced.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
                Poll::Ready(true)
            } else {
                self.interrupt.poll_recv(context).map(|_| false)
            }
        })
        .await
    }
}

/// Whether SIGHUP stays what it is: ignored, as whoever started the program (nohup) wanted it, or where that cannot be told.
fn keeps_hangups() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is that of signal 1.
    ignored.is_none_or(|mask| mask & 1 == 1)
}
