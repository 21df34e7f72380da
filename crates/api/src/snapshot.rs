//! Answers that belong to a version of the data, computed once for each version.
//!
//! A task of [`crate::watch`] learns the version; as long as its news is fresh, an answer is kept under route,
//! canonical query and version, whoever asks at the same time waits for the one computation, and what is kept
//! costs neither the database nor a blocking thread. Without fresh news (the database is away) each request asks for
//! the version itself.
//!
//! Where nothing is kept, whoever waits for the same at the same time shares one read ([`crate::coalesced`]).
//!
//! The version comes first, the data next, and the version again: when both are equal, the data is of that
//! version. That needs no transaction, one round trip less, and works through every pooler. The news are
//! as good as a question for the first, and the statements that are asked most tell the second with their rows.

use std::sync::{Arc, Weak};
use std::time::Instant;

use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use kasparro_core::secret::Secret;
use kasparro_core::store::overview::{self, Overview};
use kasparro_core::store::version::{self, SourceState};
use serde::Serialize;

use crate::answer::{Answer, Conditions, Label, Rendered};
use crate::coalesced::{Coalesced, Joinable};
use crate::coding::Coding;
use crate::db::{self, Connection, Database, ReadError};
use crate::express::Repeatable;
use crate::problem::{Code, Problem};
use crate::readiness::Readiness;
use crate::reads::{Begin, Own, Question, Reads, Seen};
use crate::watch::{Known, Watch};

/// How often a read is repeated because a batch was committed meanwhile. What is shown after that is as new as it
/// gets and is labelled with the older version: the next request finds a newer one.
const MOST_READS: usize = 3;

/// What the bookkeeping of the cache occupies for each answer, in bytes, about.
const ENTRY_BYTES: usize = 256;

/// The answers, for every worker the same.
pub(crate) struct Snapshots {
    reads: Reads,
    kept: Arc<Kept>,
}

struct Kept {
    watch: Watch,
    /// Reads of answers about data that are not kept, and of the overview.
    answers_read: Coalesced<(), Outcome>,
    overviews_read: Coalesced<(), Result<Arc<Overview>, Problem>>,
    /// `None` where every answer is computed.
    answers: Option<Answers>,
}

type Answers = moka::future::Cache<String, Outcome>;

/// An answer, or a refusal that stays the same as long as the data does.
type Outcome = Result<Arc<Answer>, Problem>;

/// How an answer came about; in the extensions of the request, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was kept.
    Hit,
    /// It was computed, and is kept now.
    Miss,
    /// It was computed for this request alone.
    Uncached,
}

impl Origin {
    /// Its name in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Uncached => "bypass",
        }
    }
}

impl Snapshots {
    /// Begins to watch the database. No answer is kept in 0 bytes. Call it inside a runtime.
    pub(crate) fn start(database: Database, url: &Secret, cache_bytes: u64) -> Self {
        let answers = (cache_bytes > 0).then(|| {
            moka::future::Cache::builder()
                .max_capacity(cache_bytes)
                .weigher(|key: &String, outcome: &Outcome| {
                    let size = outcome.as_ref().map_or(ENTRY_BYTES, |answer| answer.size());
                    u32::try_from(key.len() + size + ENTRY_BYTES).unwrap_or(u32::MAX)
                })
                .build()
        });
        let kept = Arc::new(Kept {
            watch: Watch::new(),
            answers_read: Coalesced::default(),
            overviews_read: Coalesced::default(),
            answers,
        });
        // A connection of its own: a pool that is used up must not make the news old.
        drop(actix_web::rt::spawn(keep_watching(Arc::downgrade(&kept), Database::new(url, 1))));
        Self { reads: Reads::new(database), kept }
    }

    /// Answers what a query finds in the data. `canonical` names route and parameters.
    pub(crate) async fn data<F, R>(
        &self,
        request: &HttpRequest,
        canonical: String,
        query: F,
    ) -> Result<HttpResponse, Problem>
    where
        F: Fn(&mut Connection, &[SourceState]) -> Result<R, ReadError> + Send + Sync + 'static,
        R: Into<Seen>,
    {
        self.answer(request, canonical, Own(Arc::new(query))).await
    }

    /// Answers a question about the data. `canonical` names route and parameters.
    pub(crate) async fn answer(
        &self,
        request: &HttpRequest,
        canonical: String,
        question: impl Question,
    ) -> Result<HttpResponse, Problem> {
        let conditions = Conditions::of(request);
        let Some((answers, known)) = self.cached() else {
            note(request, Origin::Uncached);
            let answer = self.uncached(canonical, &conditions, question).await?;
            return deliver(request, &conditions, None, &answer).await;
        };
        let key = format!("{}|{canonical}", known.data);
        if let Some(outcome) = answers.get(&key).await {
            note(request, Origin::Hit);
            request.extensions_mut().insert(Repeatable(known.revision));
            return deliver(request, &conditions, Some((answers, key)), &outcome?).await;
        }
        if conditions.exist() {
            let label = Label::of_query(&canonical, &known.overview.sources);
            if conditions.met_by(&label) {
                note(request, Origin::Hit);
                return deliver(request, &conditions, None, &Arc::new(Answer::unchanged(label))).await;
            }
        }
        note(request, Origin::Miss);
        let computed = async {
            let news = Some(Arc::clone(&known));
            match self.read(canonical, news, &Conditions::None, question, Arc::new(|| ())).await {
                Ok((answer, is_newer)) => {
                    if is_newer {
                        self.kept.watch.distrust();
                    }
                    Ok(Ok(Arc::new(answer)))
                }
                Err(problem) if is_lasting(problem.code()) => Ok(Err(problem)),
                Err(problem) => Err(problem),
            }
        };
        let outcome = answers.try_get_with(key.clone(), computed).await;
        let answer = outcome.map_err(|shared| Problem::clone(&shared))??;
        deliver(request, &conditions, Some((answers, key)), &answer).await
    }

    /// An answer that is kept for nobody, and shared with whoever asks for it before the read begins.
    async fn uncached(&self, canonical: String, conditions: &Conditions, question: impl Question) -> Outcome {
        if conditions.exist() {
            // Whether the client has the answer is decided by the version of this moment.
            let read = self.read(canonical, None, conditions, question, Arc::new(|| ()));
            return read.await.map(|(answer, _)| Arc::new(answer));
        }
        let name = canonical.clone();
        let read = async |joinable: Joinable<(), Outcome>| {
            let begin = Arc::new(move || {
                joinable.begin();
            });
            let read = self.read(canonical, self.kept.watch.known(), &Conditions::None, question, begin);
            read.await.map(|(answer, _)| Arc::new(answer))
        };
        self.kept.answers_read.read(&name, (), read).await
    }

    /// Answers what the overview shows. `name` names the route, and what else the answer depends on.
    pub(crate) async fn of_overview<T: Serialize>(
        &self,
        request: &HttpRequest,
        name: impl Fn(&Overview) -> String,
        show: impl Fn(&Overview) -> T,
    ) -> Result<HttpResponse, Problem> {
        let conditions = Conditions::of(request);
        let render = |overview: &Overview| {
            let rendered = Rendered::json(&show(overview)).map_err(db::refusal)?;
            let label = Label::of_body(&name(overview), rendered.body(), &overview.sources);
            Ok::<_, Problem>(Arc::new(Answer::new(label, rendered)))
        };
        let Some((answers, known)) = self.cached() else {
            note(request, Origin::Uncached);
            return deliver(request, &conditions, None, &render(&*self.read_overview().await?)?).await;
        };
        let key = format!("{}|{}", known.revision, name(&known.overview));
        note(request, Origin::Hit);
        request.extensions_mut().insert(Repeatable(known.revision));
        let outcome = answers.try_get_with(key.clone(), async {
            note(request, Origin::Miss);
            render(&known.overview).map(Ok)
        });
        let answer = outcome.await.map_err(|shared| Problem::clone(&shared))??;
        deliver(request, &conditions, Some((answers, key)), &answer).await
    }

    /// Answers what the tables say at this moment, for what changes without the data, such as the record of runs.
    /// `name` tells its tag from those of other routes. Nothing is kept or shared.
    pub(crate) async fn at_once<F>(
        &self,
        request: &HttpRequest,
        name: String,
        query: F,
    ) -> Result<HttpResponse, Problem>
    where
        F: Fn(&mut Connection, &[SourceState]) -> Result<Rendered, ReadError> + Send + 'static,
    {
        let conditions = Conditions::of(request);
        note(request, Origin::Uncached);
        let compute = move |connection: &mut Connection| {
            let sources = version::sources(connection)?;
            let rendered = query(connection, &sources)?;
            Ok(Answer::new(Label::of_body(&name, rendered.body(), &sources), rendered))
        };
        let answer = self.reads.database.read(compute).await?;
        deliver(request, &conditions, None, &Arc::new(answer)).await
    }

    /// The overview as of a moment ago, or as of now.
    pub(crate) async fn overview(&self) -> Result<Arc<Known>, Problem> {
        if let Some(known) = self.kept.watch.known() {
            return Ok(known);
        }
        let overview = Overview::clone(&*self.read_overview().await?);
        Ok(Arc::new(Known { overview, data: 0, revision: 0 }))
    }

    /// Number of the overview of a moment ago; `None` where nothing is known or kept.
    pub(crate) fn revision(&self, now: Instant) -> Option<u64> {
        self.kept.answers.as_ref()?;
        self.kept.watch.revision(now)
    }

    /// Whether the version of the data is known, so that answers can be kept.
    pub(crate) fn is_version_known(&self) -> bool {
        self.kept.watch.known().is_some()
    }

    /// Number of answers that are kept, and the bytes that they occupy.
    pub(crate) fn kept(&self) -> (u64, u64) {
        self.kept.answers.as_ref().map_or((0, 0), |answers| (answers.entry_count(), answers.weighted_size()))
    }

    /// What answers are kept in and for, where they are kept and as long as the version is known.
    fn cached(&self) -> Option<(&Answers, Arc<Known>)> {
        Some((self.kept.answers.as_ref()?, self.kept.watch.known()?))
    }

    async fn read_overview(&self) -> Result<Arc<Overview>, Problem> {
        // Whoever watches looks at the tables as well.
        let is_checked = self.is_version_known();
        let read = async |joinable: Joinable<(), _>| {
            let read = move |connection: &mut Connection| {
                joinable.begin();
                match is_checked {
                    true => Ok(overview::load(connection)?),
                    false => read_overview(connection),
                }
            };
            self.reads.database.read(read).await.map(Arc::new)
        };
        self.kept.overviews_read.read("overview", (), read).await
    }

    /// Computes an answer, beginning with the version that is known, if one is. Returns whether the data turned
    /// out to be of another version than that.
    async fn read(
        &self,
        canonical: String,
        known: Option<Arc<Known>>,
        conditions: &Conditions,
        question: impl Question,
        begin: Begin,
    ) -> Result<(Answer, bool), Problem> {
        let mut sources = match &known {
            Some(known) => Arc::clone(&known.overview.sources),
            None => self.sources().await?,
        };
        let mut reads = 1;
        loop {
            let label = Label::of_query(&canonical, &sources);
            if conditions.met_by(&label) {
                return Ok((Answer::unchanged(label), false));
            }
            let Seen { rendered, version: seen } = question.ask(&self.reads, &sources, &begin).await?;
            if seen == Some(version::number(&sources)) {
                return Ok((Answer::new(label, rendered), reads > 1));
            }
            let after = self.sources().await?;
            if after == sources || reads == MOST_READS {
                return Ok((Answer::new(label, rendered), reads > 1));
            }
            sources = after;
            reads += 1;
        }
    }

    /// The version of the data at this moment.
    async fn sources(&self) -> Result<Arc<[SourceState]>, Problem> {
        self.reads.database.read(|connection| Ok(version::sources(connection)?.into())).await
    }
}

/// Asks again and again, as long as there is somebody to know.
async fn keep_watching(kept: Weak<Kept>, database: Database) {
    let mut readiness = Readiness::default();
    while let Some(kept) = kept.upgrade() {
        let asked_at = Instant::now();
        let read = database.read(read_overview).await;
        readiness.note(read.as_ref().err());
        match read {
            Ok(overview) => {
                if kept.watch.learn(overview, asked_at)
                    && let Some(answers) = &kept.answers
                {
                    // Nobody asks for those of older versions any more.
                    answers.invalidate_all();
                }
            }
            Err(problem) => {
                log::debug!("the version of the data is not known: {problem}");
                kept.watch.lose();
            }
        }
        kept.watch.until_next().await;
    }
}

fn read_overview(connection: &mut Connection) -> Result<Overview, ReadError> {
    db::check_schema(connection)?;
    Ok(overview::load(connection)?)
}

/// Gives a client an answer in the coding that it prefers. What is kept is kept in that coding as well.
async fn deliver(
    request: &HttpRequest,
    conditions: &Conditions,
    kept: Option<(&Answers, String)>,
    answer: &Arc<Answer>,
) -> Result<HttpResponse, Problem> {
    let preferred = Coding::of(request);
    let coding = answer.coding_for(preferred);
    if answer.is_known(conditions) || coding == Coding::Identity {
        return Ok(answer.respond(conditions, coding));
    }
    let coded = async { answer.coded(coding).map(|coded| Ok(Arc::new(coded))) };
    let coded = match kept {
        None => coded.await,
        Some((answers, key)) => {
            let key = format!("{key}|{}", coding.name().unwrap_or_default());
            answers.try_get_with(key, coded).await.map_err(|shared| Problem::clone(&shared))
        }
    };
    coded?.map(|answer| answer.respond(conditions, coding))
}

/// Whether a failure stays the same as long as the data does.
fn is_lasting(code: Code) -> bool {
    matches!(code, Code::UnknownCoin | Code::UnknownAsset | Code::UnknownObservation | Code::InvalidParameter)
}

fn note(request: &HttpRequest, origin: Origin) {
    request.extensions_mut().insert(origin);
}
