//! How answers about data are read: by statements of their own, or together with what others want at the same time.

use std::sync::Arc;

use kasparro_core::store::latest::{self, Newest};
use kasparro_core::store::version::SourceState;

use crate::answer::Rendered;
use crate::coalesced::{Coalesced, Joinable};
use crate::db::{Connection, Database, ReadError};
use crate::problem::Problem;

/// What was read from the data, with the number of its version if the statement told it.
pub(crate) struct Seen {
    pub(crate) rendered: Rendered,
    /// [`kasparro_core::store::version::number`].
    pub(crate) version: Option<i64>,
}

impl From<Rendered> for Seen {
    fn from(rendered: Rendered) -> Self {
        Self { rendered, version: None }
    }
}

/// What a client wants to know about the data.
pub(crate) trait Question {
    /// Finds it out, by what is known of the sources. Calls `begin` when that begins.
    async fn ask(&self, reads: &Reads, sources: &Arc<[SourceState]>, begin: &Begin) -> Result<Seen, Problem>;
}

/// Called when a read begins: who asks the same from then on has to ask anew.
pub(crate) type Begin = Arc<dyn Fn() + Send + Sync>;

/// A question that has a connection for itself.
pub(crate) struct Own<F>(pub(crate) Arc<F>);

impl<F, R> Question for Own<F>
where
    F: Fn(&mut Connection, &[SourceState]) -> Result<R, ReadError> + Send + Sync + 'static,
    R: Into<Seen>,
{
    async fn ask(&self, reads: &Reads, sources: &Arc<[SourceState]>, begin: &Begin) -> Result<Seen, Problem> {
        let (query, sources, begin) = (Arc::clone(&self.0), Arc::clone(sources), Arc::clone(begin));
        let read = move |connection: &mut Connection| {
            begin();
            query(connection, &sources).map(Into::into)
        };
        reads.database.read(read).await
    }
}

/// The database with the reads that gather what is wanted from it, for every worker the same.
pub(crate) struct Reads {
    pub(crate) database: Database,
    newest: Coalesced<String, Result<Arc<Newest>, Problem>>,
}

impl Reads {
    /// Nothing is read yet.
    pub(crate) fn new(database: Database) -> Self {
        Self { database, newest: Coalesced::default() }
    }

    /// The newest observations of a coin, among those of the coins that are asked for at the same time: one statement
    /// for many coins costs the database and this program a fraction of one for each.
    pub(crate) async fn newest(&self, crypto_id: &str) -> Result<Arc<Newest>, Problem> {
        let read = async |joinable: Joinable<String, _>| {
            let read = move |connection: &mut Connection| Ok(latest::newest(connection, joinable.begin())?);
            self.database.read(read).await.map(Arc::new)
        };
        self.newest.read("newest", crypto_id.to_owned(), read).await
    }
}
