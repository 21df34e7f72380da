//! Names of sources in parameters.

use kasparro_core::store::version::SourceState;

use crate::params;
use crate::problem::Problem;

/// Sources that are always accepted: a source without data yet is not a mistake.
pub(crate) const REGISTERED: [&str; 3] = ["coingecko", "coinpaprika", "csv"];

/// Name of the source whose raw records come from files.
pub(crate) const CSV: &str = "csv";

/// The states of some sources by their names; those without data yet are left out.
pub(crate) fn find_all<'a>(
    sources: &'a [SourceState],
    names: &[String],
) -> Result<Vec<&'a SourceState>, Problem> {
    let found: Result<Vec<_>, _> = names.iter().map(|name| find(sources, name)).collect();
    Ok(found?.into_iter().flatten().collect())
}

/// The state of a source by its name; `None` when it has no data yet.
pub(crate) fn find<'a>(sources: &'a [SourceState], name: &str) -> Result<Option<&'a SourceState>, Problem> {
    let found = sources.iter().find(|source| source.is_market() && source.name == name);
    if found.is_some() || REGISTERED.contains(&name) {
        return Ok(found);
    }
    let market = sources.iter().filter(|source| source.is_market());
    let mut known: Vec<&str> = market.map(|source| source.name.as_str()).chain(REGISTERED).collect();
    known.sort_unstable();
    known.dedup();
    Err(Problem::parameters(vec![params::unknown_word("source", name, &known)]))
}
