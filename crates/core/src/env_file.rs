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
    /// There is a byte in it that no variable can hold.
    #[error("{}: line {line} has a NUL byte in it, which no setting can hold; write the file anew as plain text", path.display())]
    Nul {
        /// The file.
        path: PathBuf,
        /// The line of the byte, from 1.
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
/// When there is a file that cannot be read to its end. Nothing of it is taken then.
pub fn load() -> Result<(), EnvFileError> {
    let Some(path) = find() else { return Ok(()) };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(reason) => return Err(EnvFileError::Unreadable { path, reason }),
    };
    check(&path, &text)?;
    let text = without_mark(&text);
    dotenvy::from_read(text.as_bytes()).map_err(|_| EnvFileError::Line { line: broken_line(text), path })
}

fn find() -> Option<PathBuf> {
    let folder = env::current_dir().ok()?;
    folder.ancestors().map(|folder| folder.join(".env")).find(|path| path.is_file())
}

/// Whether every setting can be taken. The names that dotenvy lets through are good ones; of values it asks nothing, and
/// the standard library panics, with the value, on one that has a NUL byte.
fn check(path: &Path, text: &str) -> Result<(), EnvFileError> {
    let text = without_mark(text);
    if let Some(at) = text.find('\0') {
        let line = text[..at].matches('\n').count() + 1;
        return Err(EnvFileError::Nul { path: path.to_owned(), line });
    }
    if is_good(text) {
        Ok(())
    } else {
        Err(EnvFileError::Line { path: path.to_owned(), line: broken_line(text) })
    }
}

/// The text without a byte order mark.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn is_good(text: &str) -> bool {
    dotenvy::from_read_iter(text.as_bytes()).all(|setting| setting.is_ok())
}

/// The line on which the first setting begins that cannot be read: the one behind the longest beginning that can.
fn broken_line(text: &str) -> usize {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    (0..lines.len()).rev().find(|good| is_good(&lines[..*good].concat())).unwrap_or_default() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_named_and_not_shown() {
        for (text, line) in [
            ("A=b\n# canary\n\nDATABASE_URL=postgresql://u:canary pass@h/d\nC=d\n", 4),
            ("\u{feff}canary\n", 1),
            ("A='several\nlines'\nB='canary\nC=d\n", 3),
            ("A=b\n=canary\n", 2),
            ("A=b\nC D=canary\n", 2),
        ] {
            let error = check(Path::new("/f/.env"), text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("/f/.env: line {line} is not")), "{error} of {text:?}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_nul_byte_is_told_from_a_setting() {
        for (text, line) in [("A=canary\0", 1), ("\u{feff}A=b\n\nC='x\ncanary\0'\n", 4), ("# canary\0\n", 1)]
        {
            let error = check(Path::new("/f/.env"), text).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("/f/.env: line {line} has a NUL byte")),
                "{error} of {text:?}"
            );
            assert!(!error.contains("canary"), "{error}");
        }
        check(Path::new("/f/.env"), "\u{feff}A=b\n# c\nexport D='e f'\n").unwrap();
    }
}
