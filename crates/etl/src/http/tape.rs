//! `--record` and `--replay`: what the sources answered, kept in a folder and played again without a network.
//!
//! A folder per source has two files per answer, numbered in the order in which they came: `0001.json` with the request
//! (without secrets), the status, the headers that matter and the time, and `0001.body` with the decoded bytes.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use ureq::http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::answer::Failed;
use crate::failure::{FailureKind, SourceError};

/// What is done with a folder.
#[derive(Clone, Debug)]
pub(crate) enum Taping {
    /// Answers are kept in it.
    Record(PathBuf),
    /// Answers come from it.
    Replay(PathBuf),
}

/// The recording of one source.
pub(crate) enum Tape {
    Record { folder: PathBuf, count: AtomicU32 },
    Replay { folder: PathBuf, answers: Mutex<HashMap<String, VecDeque<PathBuf>>> },
}

/// An answer as it came.
pub(super) struct Taped {
    /// The request, without secrets.
    pub(super) url: String,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) received_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct Label {
    url: String,
    status: u16,
    headers: Vec<(String, String)>,
    received_at: DateTime<Utc>,
}

/// Headers that decide what is made of an answer. Others may hold what is nobody's business.
const HEADERS: [&str; 3] = ["content-type", "retry-after", "x-ratelimit-reset"];

impl Tape {
    /// Makes or opens the recording of a source.
    ///
    /// # Errors
    /// Config when a recording would be mixed with another, Missing when there is none to be played, Io.
    pub(crate) fn open(taping: &Taping, source: &str) -> Result<Self, SourceError> {
        match taping {
            Taping::Record(folder) => Self::record(folder.join(source)),
            Taping::Replay(folder) => Self::replay(folder.join(source)),
        }
    }

    fn record(folder: PathBuf) -> Result<Self, SourceError> {
        let failed = |error: std::io::Error| cannot(&folder, &error);
        fs::create_dir_all(&folder).map_err(failed)?;
        if fs::read_dir(&folder).map_err(failed)?.next().is_some() {
            let message =
                format!("{}: holds something already; record into another folder", folder.display());
            return Err(SourceError::new(FailureKind::Config, message));
        }
        Ok(Self::Record { folder, count: AtomicU32::new(0) })
    }

    fn replay(folder: PathBuf) -> Result<Self, SourceError> {
        if !folder.is_dir() {
            let message = format!("{}: no recording of this source", folder.display());
            return Err(SourceError::new(FailureKind::Missing, message));
        }
        let failed = |error: std::io::Error| cannot(&folder, &error);
        let entries: Result<Vec<_>, _> = fs::read_dir(&folder).map_err(failed)?.collect();
        let mut labels: Vec<PathBuf> =
            entries.map_err(failed)?.into_iter().map(|entry| entry.path()).collect();
        labels.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        labels.sort();
        let mut answers: HashMap<String, VecDeque<PathBuf>> = HashMap::new();
        for path in labels {
            let label = read_label(&path)?;
            let url = Url::parse(&label.url).map_err(|error| {
                SourceError::new(FailureKind::Refused, format!("{}: {error}", path.display()))
            })?;
            answers.entry(resource(&url)).or_default().push_back(path);
        }
        Ok(Self::Replay { folder, answers: Mutex::new(answers) })
    }

    /// Whether the answers come from the folder.
    pub(super) fn is_replay(&self) -> bool {
        matches!(self, Self::Replay { .. })
    }

    /// Whether a replay has no further answer to a request.
    pub(super) fn is_over(&self, url: &Url) -> bool {
        let Self::Replay { answers, .. } = self else { return false };
        let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(&resource(url)).is_none_or(VecDeque::is_empty)
    }

    /// Keeps an answer; does nothing in a replay.
    pub(super) fn keep(&self, answer: &Taped) -> Result<(), Failed> {
        let Self::Record { folder, count } = self else { return Ok(()) };
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        let headers = HEADERS.iter().filter_map(|name| {
            let value = answer.headers.get(*name)?.to_str().ok()?;
            Some(((*name).to_owned(), value.to_owned()))
        });
        let label = Label {
            url: answer.url.clone(),
            status: answer.status,
            headers: headers.collect(),
            received_at: answer.received_at,
        };
        let path = folder.join(format!("{number:04}.json"));
        // The body first: a label without a body would be an answer that never was.
        let written = fs::write(path.with_extension("body"), &answer.body)
            .and_then(|()| fs::write(&path, serde_json::to_vec_pretty(&label)?));
        written.map_err(|error| Failed::from_source(cannot(&path, &error)))
    }

    /// The next answer to a request; `None` when it is not a replay.
    pub(super) fn play(&self, url: &Url) -> Result<Option<Taped>, Failed> {
        let Self::Replay { folder, answers } = self else { return Ok(None) };
        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = answers.get_mut(&resource(url)).and_then(VecDeque::pop_front);
        let Some(path) = next else {
            let message = format!("{}: the recording has no (further) answer to this", folder.display());
            return Err(Failed::from_source(SourceError::new(FailureKind::Missing, message)));
        };
        let label = read_label(&path).map_err(Failed::from_source)?;
        let body = path.with_extension("body");
        let body = fs::read(&body).map_err(|error| Failed::from_source(cannot(&body, &error)))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &label.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                headers.insert(name, value);
            }
        }
        let Label { url, status, received_at, .. } = label;
        Ok(Some(Taped { url, status, headers, body, received_at }))
    }
}

/// What is asked for, whoever is asked: a recording of a mirror answers for the vendor.
fn resource(url: &Url) -> String {
    let name = url.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    format!("{name}?{}", url.query().unwrap_or_default())
}

fn read_label(path: &Path) -> Result<Label, SourceError> {
    let text = fs::read(path).map_err(|error| cannot(path, &error))?;
    serde_json::from_slice(&text)
        .map_err(|error| SourceError::new(FailureKind::Refused, format!("{}: {error}", path.display())))
}

fn cannot(path: &Path, error: &std::io::Error) -> SourceError {
    SourceError::new(FailureKind::Io, format!("{}: {error}", path.display()))
}
