//! The file `.env` of the working directory, or of the nearest folder above it that has one.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Why a file `.env` cannot be used. The text names the file and the line, and never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// A line is no setting. dotenvy repeats it, and it may hold a password.
    #[error(
        "{}: line {line} is not of the form NAME=value; put a value that has blanks, quotes, # or $ between single quotes",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line on which the setting begins, from 1.
        line: usize,
    },
    /// The file cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
}

/// Adds the settings of the file to those of the environment, which are stronger. No file is the normal case.
///
/// # Errors
/// When there is a file that cannot be read to its end.
pub fn load() -> Result<(), EnvFileError> {
    let Some(path) = find() else { return Ok(()) };
    match dotenvy::from_path(&path) {
        Ok(()) => Ok(()),
        Err(dotenvy::Error::Io(reason)) => Err(EnvFileError::Unreadable { path, reason }),
        Err(_) => Err(EnvFileError::Line { line: broken_line(&path), path }),
    }
}

fn find() -> Option<PathBuf> {
    let folder = env::current_dir().ok()?;
    folder.ancestors().map(|folder| folder.join(".env")).find(|path| path.is_file())
}

/// The line on which the first setting begins that cannot be read: the one behind the longest beginning that can.
fn broken_line(path: &Path) -> usize {
    let text = fs::read_to_string(path).unwrap_or_default();
    let text = text.trim_start_matches('\u{feff}');
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_good =
        |lines: &[&str]| dotenvy::from_read_iter(lines.concat().as_bytes()).all(|setting| setting.is_ok());
    (0..lines.len()).rev().find(|good| is_good(&lines[..*good])).unwrap_or_default() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_named_and_not_shown() {
        let path = env::temp_dir().join(format!("kasparro-env-file-{}", std::process::id()));
        for (text, line) in [
            ("A=b\n# canary\n\nDATABASE_URL=postgresql://u:canary pass@h/d\nC=d\n", 4),
            ("\u{feff}canary\n", 1),
            ("A='several\nlines'\nB='canary\nC=d\n", 3),
        ] {
            fs::write(&path, text).unwrap();
            let error = EnvFileError::Line { line: broken_line(&path), path: path.clone() };
            assert!(error.to_string().contains(&format!(": line {line} is not")), "{error} of {text:?}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        fs::remove_file(&path).unwrap();
    }
}
