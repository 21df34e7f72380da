//! How far a file has been read, and whether it is still the same file.

use std::io::Read;
use std::path::Path;

use blake3::Hasher;
use chrono::{DateTime, Utc};
use kasparro_core::store::csv_file::FileState;

use super::file::Plan;
use super::paths::{Stat, cannot_read};
use super::text::Text;
use super::time::to_micros;
use crate::failure::SourceError;

/// The state to go on from and the hash of what it covers: where the last run ended if the file still begins with
/// what was read, else the beginning.
pub(super) fn start(
    path: &Path,
    text: &Text,
    known: Option<&FileState>,
    stat: &Stat,
    as_of: Option<DateTime<Utc>>,
    plan: &Plan,
    now: DateTime<Utc>,
) -> Result<(FileState, Hasher), SourceError> {
    let loaded = known.filter(|state| state.read_bytes > 0);
    if let Some(state) = loaded
        && as_size(state.read_bytes) <= text.size
    {
        let hasher = hash_prefix(path, text, as_size(state.read_bytes), plan)?;
        if digest(&hasher) == state.prefix_hash {
            let as_of = as_of.unwrap_or(state.as_of);
            return Ok((FileState { as_of, ..state.clone() }, hasher));
        }
    }
    let generation = match (known, loaded) {
        (Some(state), Some(_)) => state.generation.saturating_add(1),
        (Some(state), None) => state.generation,
        (None, _) => 1,
    };
    let hasher = Hasher::new();
    let state = FileState {
        path: path.to_string_lossy().into_owned(),
        generation,
        size_bytes: 0,
        modified_ns: stat.modified_ns,
        inode: stat.inode.clone(),
        read_bytes: 0,
        read_lines: 0,
        prefix_hash: digest(&hasher),
        as_of: to_micros(as_of.unwrap_or(now)),
    };
    Ok((state, hasher))
}

fn hash_prefix(path: &Path, text: &Text, length: u64, plan: &Plan) -> Result<Hasher, SourceError> {
    let mut hasher = Hasher::new();
    let mut block = vec![0; 256 * 1024];
    let mut prefix = text.reader(0).map_err(|error| cannot_read(path, &error))?.take(length);
    loop {
        plan.go_on()?;
        match prefix.read(&mut block).map_err(|error| cannot_read(path, &error))? {
            0 => return Ok(hasher),
            read => {
                hasher.update(&block[..read]);
            }
        }
    }
}

/// The hash of what was put in so far.
pub(super) fn digest(hasher: &Hasher) -> Vec<u8> {
    hasher.finalize().as_bytes().to_vec()
}

/// Marks a file as read to its end: as long as it looks like this it is not opened. The look is the one before
/// the file was read; what was written meanwhile makes another.
pub(super) fn seal(state: &mut FileState, stat: &Stat) {
    state.size_bytes = as_count(stat.size);
    state.modified_ns = stat.modified_ns;
    state.inode.clone_from(&stat.inode);
}

/// A count of the database as a size of memory; neither is ever negative or near the limit.
pub(super) fn as_size(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

pub(super) fn as_count(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
