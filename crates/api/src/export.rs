//! Exports: a thread with a connection of its own writes rows, compressed if the client wants, while they are sent.
//!
//! Version, number and rows are read in one snapshot, so an export is what the data was at one moment, however long
//! the client takes. It is whole or it is refused: its number of rows is known before the first byte.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::rt::time::timeout;
use actix_web::{HttpRequest, HttpResponse, http::Method, http::header};
use kasparro_core::store::selection::Selection;
use kasparro_core::store::version::{self, SourceState};
use kasparro_core::store::{export, listed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::answer::{Conditions, Label, TOTAL_COUNT};
use crate::coding::{Coding, Encoder};
use crate::db::{self, Connection, Database, ReadError};
use crate::format::{Format, Rows};
use crate::observation::{Fields, Observation};
use crate::problem::{Code, Problem};
use crate::stream::{self, Body, Gone, Writer};

/// Longest time until the head of an export is known: connecting, and counting what bounds leave.
const HEAD_DEADLINE: Duration = Duration::from_secs(20);

/// Longest time that a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest time for a whole export: 5 million rows by 20 Mbit/s.
const DEADLINE: Duration = Duration::from_secs(1_800);

/// Bytes that are sent at once.
const PIECE_BYTES: usize = 64 << 10;

/// The exports of the service, for every worker the same.
pub(crate) struct Exports {
    database: Database,
    slots: Arc<Semaphore>,
    max_rows: u64,
}

/// What is asked for.
pub(crate) struct Export<F> {
    /// Names the query.
    pub(crate) canonical: String,
    /// How rows are written.
    pub(crate) format: Format,
    /// Which fields of them.
    pub(crate) shown: Fields,
    /// What is selected, and how many rows that is.
    pub(crate) select: F,
}

/// What is known before the first row.
enum Head {
    Rows { label: Label, total: i64, body: Body },
    Unchanged(Label),
}

/// What a thread works with.
struct Job<F> {
    export: Export<F>,
    database: Database,
    conditions: Conditions,
    coding: Coding,
    is_head: bool,
    max_rows: u64,
    _slot: OwnedSemaphorePermit,
}

impl Exports {
    /// At most `at_once` exports of at most `max_rows` rows.
    pub(crate) fn new(database: Database, at_once: usize, max_rows: u64) -> Self {
        Self { database, slots: Arc::new(Semaphore::new(at_once)), max_rows }
    }

    /// Answers an export.
    pub(crate) async fn answer<F>(
        &self,
        request: &HttpRequest,
        export: Export<F>,
    ) -> Result<HttpResponse, Problem>
    where
        F: FnOnce(&mut Connection, &[SourceState]) -> Result<(Selection, i64), ReadError> + Send + 'static,
    {
        let busy = |_| Problem::new(Code::Busy, "as many exports are running as may run at once");
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(busy)?;
        let (conditions, coding, format) = (Conditions::of(request), Coding::of(request), export.format);
        let job = Job {
            export,
            database: self.database.clone(),
            conditions: conditions.clone(),
            coding,
            is_head: request.method() == Method::HEAD,
            max_rows: self.max_rows,
            _slot: slot,
        };
        let (sender, receiver) = oneshot::channel();
        std::thread::Builder::new()
            .name("export".to_owned())
            .spawn(move || job.run(sender))
            .map_err(|error| Problem::new(Code::Busy, "no thread can be started").caused_by(error))?;
        match timeout(HEAD_DEADLINE, receiver).await {
            Ok(Ok(head)) => Ok(respond(head?, &conditions, coding, format)),
            Ok(Err(_)) => Err(Problem::new(Code::Internal, "the export failed; the log has more")),
            Err(_) => Err(Problem::new(Code::Busy, "the database did not answer in time")),
        }
    }
}

fn respond(head: Head, conditions: &Conditions, coding: Coding, format: Format) -> HttpResponse {
    let (label, total, body) = match head {
        Head::Unchanged(label) => {
            let mut response = HttpResponse::NotModified();
            label.put_on(&mut response, conditions.coding_of(&label).unwrap_or(coding));
            return response.finish();
        }
        Head::Rows { label, total, body } => (label, total, body),
    };
    let mut response = HttpResponse::Ok();
    label.put_on(&mut response, coding);
    if let Some(name) = coding.name() {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    let file = format!("attachment; filename=\"kasparro-{}.{}\"", label.data_version(), format.word());
    response
        .insert_header((header::CONTENT_TYPE, format.content_type()))
        .insert_header((header::CONTENT_DISPOSITION, file))
        .insert_header((TOTAL_COUNT, total))
        .body(body)
}

impl<F> Job<F>
where
    F: FnOnce(&mut Connection, &[SourceState]) -> Result<(Selection, i64), ReadError>,
{
    fn run(self, head: oneshot::Sender<Result<Head, Problem>>) {
        let begun = Instant::now();
        let mut connection = match self.database.open() {
            Ok(connection) => connection,
            Err(problem) => return drop(head.send(Err(problem))),
        };
        let Export { canonical, format, shown, select } = self.export;
        let opened = open(&mut connection, &canonical, &self.conditions, self.max_rows, select);
        let (label, sources, selection, total) = match opened {
            Ok((label, Some(Opened { sources, selection, total }))) => (label, sources, selection, total),
            Ok((label, None)) => return drop(head.send(Ok(Head::Unchanged(label)))),
            Err(error) => {
                let problem = db::failure(&mut connection, error, begun.elapsed());
                return drop(head.send(Err(problem)));
            }
        };
        let (writer, body) = stream::pair(PATIENCE, begun + DEADLINE);
        if head.send(Ok(Head::Rows { label, total, body })).is_err() {
            return;
        }
        if self.is_head {
            let _ = writer.finish();
            return;
        }
        let show = |row| Observation::of(row, shown, &sources);
        match write(&mut connection, (&selection, total), format, shown, self.coding, &writer, show) {
            Ok(()) => {
                let _ = writer.finish();
            }
            Err(Stop::Gone(why)) => log::info!("an export ended early: the client {}", why.text()),
            Err(Stop::Failed(error)) => log::error!("an export broke off: {error}"),
        }
    }
}

/// What there is to send.
struct Opened {
    sources: Vec<SourceState>,
    selection: Selection,
    total: i64,
}

/// Begins the snapshot, and finds out what there is to send: nothing when the client has it.
fn open(
    connection: &mut Connection,
    canonical: &str,
    conditions: &Conditions,
    max_rows: u64,
    select: impl FnOnce(&mut Connection, &[SourceState]) -> Result<(Selection, i64), ReadError>,
) -> Result<(Label, Option<Opened>), ReadError> {
    export::begin(connection, DEADLINE.as_secs())?;
    let sources = version::sources(connection)?;
    let label = Label::of_query(canonical, &sources);
    if conditions.met_by(&label) {
        return Ok((label, None));
    }
    let (selection, total) = select(connection, &sources)?;
    if u64::try_from(total).is_ok_and(|total| total > max_rows) {
        let detail = format!("it has {total} rows, and an export at most {max_rows}");
        return Err(Problem::new(Code::ExportTooLarge, detail).into());
    }
    Ok((label, Some(Opened { sources, selection, total })))
}

/// Why an export ends early.
enum Stop {
    Gone(Gone),
    Failed(String),
}

fn write(
    connection: &mut Connection,
    (selection, total): (&Selection, i64),
    format: Format,
    shown: Fields,
    coding: Coding,
    writer: &Writer,
    show: impl Fn(listed::Observation) -> Observation,
) -> Result<(), Stop> {
    let failed = |error: std::io::Error| Stop::Failed(error.to_string());
    let mut encoder = Encoder::new(coding).map_err(failed)?;
    let mut plain = Vec::with_capacity(PIECE_BYTES + 4096);
    let mut rows = Rows::begin(format, shown, &mut plain);
    let (mut stop, mut count) = (None, 0);
    let mut send = |plain: &mut Vec<u8>, least: usize| {
        encoder.write(plain).map_err(failed)?;
        plain.clear();
        match encoder.taken(least) {
            Some(piece) => writer.send(piece).map_err(Stop::Gone),
            None => Ok(()),
        }
    };
    let read = export::each(connection, selection, |row| {
        count += 1;
        let written = rows.write(&show(row), &mut plain).map_err(|error| Stop::Failed(error.to_string()));
        let sent = written.and_then(|()| match plain.len() >= PIECE_BYTES {
            true => send(&mut plain, PIECE_BYTES),
            false => Ok(()),
        });
        match sent {
            Ok(()) => ControlFlow::Continue(()),
            Err(why) => {
                stop = Some(why);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(why) = stop {
        return Err(why);
    }
    read.map_err(|error| Stop::Failed(error.to_string()))?;
    // Diesel's row-by-row mode takes the loss of the connection for the end of the rows.
    if count != total {
        return Err(Stop::Failed(format!("the database gave {count} rows of {total}")));
    }
    rows.end(&mut plain);
    send(&mut plain, PIECE_BYTES)?;
    let rest = encoder.finish().map_err(failed)?;
    if rest.is_empty() { Ok(()) } else { writer.send(rest).map_err(Stop::Gone) }
}

impl Gone {
    fn text(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::TooSlow => "was too slow",
        }
    }
}
