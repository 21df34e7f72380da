//! `reprocess`: builds observations again from the bytes that are kept. A rehearsal says what would change; then
//! only the bytes that make a difference are read once more and written.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use kasparro_core::store::kept::Wanted;
use kasparro_core::store::source;
use serde_json::json;

use super::kept::Selection;
use super::report::Report;
use super::{Task, launch, listen};
use crate::cli::ReprocessArgs;
use crate::commands::ready;
use crate::failure::SourceError;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::{database, sources};

/// Reads kept bytes again; returns the exit code.
pub(crate) fn reprocess(mut settings: Settings, arguments: &ReprocessArgs, progress: Progress) -> u8 {
    let prepared = prepare(&mut settings, arguments).and_then(|wanted| Ok((wanted, listen()?)));
    let (wanted, cancel) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            log::error!("{error}");
            return error.kind.exit_code();
        }
    };
    let started = Instant::now();
    let task = Task { kept: Some(Selection::Wanted(wanted)), dry_run: true };
    let preview = launch(settings.clone(), task, progress.clone(), &cancel);
    let preview = if arguments.dry_run { preview } else { preview.previewing() };
    let shown = if arguments.json { preview.json(started.elapsed()) } else { json!(null) };
    if !arguments.json {
        preview.print(started.elapsed(), false);
    }
    let changed = preview.changed();
    // A file that cannot be read any more costs that file.
    let result = if arguments.dry_run || !preview.only_refused() || changed.is_empty() {
        None
    } else {
        settings.sources = changed.keys().cloned().collect();
        let task = Task { kept: Some(Selection::These(changed)), dry_run: false };
        Some(launch(settings, task, progress, &cancel))
    };
    if arguments.json {
        let result = result.as_ref().map(|report| report.json(started.elapsed()));
        // A closed or full standard output changes nothing about what was written.
        let _ = writeln!(std::io::stdout(), "{}", json!({ "preview": shown, "result": result }));
    } else if let Some(report) = &result {
        report.print(started.elapsed(), false);
    }
    let code = result.as_ref().map_or(0, Report::exit_code);
    if code == 0 { preview.exit_code() } else { code }
}

/// Sets the sources, and says which bytes are meant.
fn prepare(settings: &mut Settings, arguments: &ReprocessArgs) -> Result<Wanted, SourceError> {
    let mut connection = ready(settings)?;
    let failed = |error| database::failure(&error);
    let now = source::database_time(&mut connection).map_err(failed)?;
    let known = source::all(&mut connection).map_err(failed)?.into_iter().map(|source| source.name);
    let asked_for = |name: &String| arguments.source.as_ref().is_none_or(|wanted| wanted == name);
    settings.sources = known.filter(|name| sources::find(name).is_some() && asked_for(name)).collect();
    if settings.csv_paths.is_empty() {
        // The files themselves are not read.
        settings.csv_paths = vec![PathBuf::new()];
    }
    let since = arguments.since.map(|since| since.moment(now));
    Ok(Wanted { since, rejects_only: arguments.rejects_only })
}
