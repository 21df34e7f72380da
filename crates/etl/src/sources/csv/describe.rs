//! What the files are taken for, before anything of them is loaded.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;

use super::NAME;
use super::file::Plan;
use super::layout::Layout;
use super::map::CsvMap;
use super::paths::{self, Stat, cannot_read};
use super::survey::{find_layout, refuse_history};
use super::text::Text;
use crate::failure::SourceError;
use crate::signal::Cancel;
use crate::source::Clock;

/// A line for each file at `paths`: which column is what.
///
/// # Errors
/// Names every file that cannot be read, or not without guessing.
pub(crate) fn describe(paths: &[PathBuf], map: &Arc<CsvMap>) -> Result<String, SourceError> {
    let clock = Clock { database_time: Utc::now(), read_at: Instant::now() };
    let plan = Plan { batch_size: 1, as_of: None, map: Arc::clone(map), clock, cancel: Cancel::default() };
    let (mut lines, mut failures) = (String::new(), Vec::new());
    for path in paths::files(paths) {
        match path.and_then(|path| file(&path, &plan)) {
            Ok(line) => lines.push_str(&format!("{NAME:12} {line}\n")),
            Err(error) => failures.push(error),
        }
    }
    SourceError::joined(failures).map_or(Ok(lines), Err)
}

fn file(path: &Path, plan: &Plan) -> Result<String, SourceError> {
    let failed = |error: std::io::Error| cannot_read(path, &error);
    paths::inspect(path)?;
    let file = File::open(path).map_err(failed)?;
    let stat = Stat::of(path, &file.metadata().map_err(failed)?)?;
    let declared = &*plan.map.of(path);
    let text = Text::open(path, file, stat.size, declared.encoding, plan)?;
    let shown = path.display();
    let Some(layout) = find_layout(path, &text, declared)? else {
        return Ok(format!("{shown}: a header and no row"));
    };
    if layout.time.is_none() {
        refuse_history(path, &text, &layout, plan)?;
    }
    Ok(format!("{shown}: {}", words(&layout)))
}

fn words(layout: &Layout) -> String {
    let fields = layout.declared().fields;
    let columns: Vec<String> =
        fields.iter().map(|field| format!("{} from {:?}", field.field, field.origin)).collect();
    let given = &layout.coin.given;
    let given = [("crypto_id", &given.id), ("crypto_name", &given.name), ("symbol", &given.symbol)];
    let given = given
        .into_iter()
        .filter_map(|(field, text)| Some(format!("{field} {:?} as declared", text.as_ref()?)));
    let columns: Vec<String> = given.chain(columns).collect();
    let time = if layout.has_times() { "" } else { "; one snapshot without times" };
    columns.join(", ") + time
}
