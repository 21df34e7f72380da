//! Settings of the launched programs that matter to the launcher too.

use std::path::Path;

/// The value of a setting, from the environment, else from `.env` in the working directory, as the programs have it.
///
/// Empty is the same as unset, and an empty variable hides the line in the file.
pub(crate) fn setting(name: &str) -> Option<String> {
    let value = match std::env::var_os(name) {
        Some(value) => value.into_string().ok(),
        None => in_dotenv(name),
    };
    value.filter(|value| !value.is_empty())
}

fn in_dotenv(name: &str) -> Option<String> {
    let lines = dotenvy::from_path_iter(Path::new(".env")).ok()?;
    lines.flatten().find(|(found, _)| found == name).map(|(_, value)| value)
}
