//! The programs under load: the service, and a server that answers a fixed body.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, Result, bail};

use crate::bench::measure::status_kib;

/// Longest wait for a program to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `kasparro-api`.
pub(super) struct Service {
    child: Child,
    port: u16,
    started_in: Duration,
}

impl Service {
    /// Starts it and waits for its first answer about data.
    pub(super) fn start(programs: &Path, database: &str, cache_mib: u32, pool: usize) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let begun = Instant::now();
        let child = Command::new(programs.join("kasparro-api"))
            .env("DATABASE_URL", database)
            .env("HOST", "127.0.0.1")
            .env("PORT", port.to_string())
            .env("METRICS_PORT", "off")
            .env("API_CACHE_MIB", cache_mib.to_string())
            .env("DB_POOL_SIZE", pool.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("kasparro-api")?;
        let mut service = Self { child, port, started_in: Duration::ZERO };
        while service.get("/data?limit=1").is_err() {
            if begun.elapsed() > PATIENCE {
                bail!("kasparro-api does not answer");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        service.started_in = begun.elapsed();
        Ok(service)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// From the launch to an answer about data.
    pub(super) fn seconds_to_first_answer(&self) -> f64 {
        self.started_in.as_secs_f64()
    }

    /// Resident memory now.
    pub(super) fn resident_mib(&self) -> Result<f64> {
        status_kib(self.child.id(), "VmRSS:").context("/proc has no VmRSS").map(|kib| kib as f64 / 1024.0)
    }

    /// The most that it ever was.
    pub(super) fn peak_mib(&self) -> Result<f64> {
        status_kib(self.child.id(), "VmHWM:").context("/proc has no VmHWM").map(|kib| kib as f64 / 1024.0)
    }

    /// The body of an answer, which must be 200.
    pub(super) fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("{path}: {}", head.lines().next().unwrap_or_default());
        }
        Ok(body.to_owned())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server library with nothing around it, answering one body from memory, in a process of its own.
pub(super) struct Fixed {
    child: Child,
    port: u16,
}

impl Fixed {
    pub(super) fn start(bytes: usize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--fixed-body", &bytes.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        Ok(Self { child, port: line.trim().parse().context("a port")? })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints its port and serves.
pub(super) fn serve_fixed_body(bytes: usize) -> Result<()> {
    let body = web::Bytes::from(vec![b'x'; bytes]);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let answer = move |body: web::Data<web::Bytes>| async move {
        HttpResponse::Ok().content_type("application/json").body(web::Bytes::clone(&body))
    };
    let server = HttpServer::new(move || {
        App::new().app_data(web::Data::new(body.clone())).route("/", web::get().to(answer))
    });
    // As the service: one worker a core, and no delay.
    let workers = std::thread::available_parallelism()?.get();
    let server = server.workers(workers).tcp_nodelay(true).listen(listener)?;
    Ok(actix_web::rt::System::new().block_on(server.run())?)
}
