//! Settings that are secrets: from the environment or from a file, and never printed.

use std::os::unix::fs::PermissionsExt as _;
use std::{env, fmt, fs, path::Path};

/// Longest secret file that is believed to be one, in bytes.
const MAX_SECRET_BYTES: u64 = 4096;

/// A value that does not show itself in `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why a secret could not be read. The text names the variable, never the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Both forms are set.
    #[error("{name} and {name}_FILE are both set: remove one of them")]
    Both {
        /// Name of the variable.
        name: String,
    },
    /// The value is not text.
    #[error("{name}: its value is not UTF-8")]
    NotText {
        /// Name of the variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("{name}_FILE: cannot read {path}: {reason}")]
    Unreadable {
        /// Name of the variable.
        name: String,
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
}

/// Reads the secret `NAME`, or the file that `NAME_FILE` names, one trailing line end removed.
/// Empty is the same as unset. A file that everybody can read is read with a warning.
///
/// # Errors
/// When both are set, when a value is not UTF-8, or when the file is missing, not a regular file, longer than 4 KiB or not
/// UTF-8.
pub fn from_env(name: &str) -> Result<Option<Secret>, SecretError> {
    from_env_up_to(name, MAX_SECRET_BYTES)
}

/// As [`from_env`], with a file of at most so many bytes.
///
/// # Errors
/// As [`from_env`].
pub fn from_env_up_to(name: &str, max_bytes: u64) -> Result<Option<Secret>, SecretError> {
    let file_key = format!("{name}_FILE");
    match (set(name)?, set(&file_key)?) {
        (Some(_), Some(_)) => Err(SecretError::Both { name: name.to_owned() }),
        (Some(value), None) => Ok(Some(Secret(value))),
        (None, Some(path)) => {
            let unreadable =
                |reason| SecretError::Unreadable { name: name.to_owned(), path: path.clone(), reason };
            let text = read_secret_file(Path::new(&path), max_bytes).map_err(unreadable)?;
            if is_readable_by_everybody(Path::new(&path)) {
                log::warn!(
                    "{file_key}: every user of this machine can read {path}; chmod o-r keeps it to its owner"
                );
            }
            Ok(Some(Secret(text)))
        }
        (None, None) => Ok(None),
    }
}

/// The value of a variable; empty is the same as unset.
fn set(name: &str) -> Result<Option<String>, SecretError> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(SecretError::NotText { name: name.to_owned() }),
    }
}

fn is_readable_by_everybody(path: &Path) -> bool {
    const OTHERS_READ: u32 = 0o004;
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & OTHERS_READ != 0)
}

fn read_secret_file(path: &Path, max_bytes: u64) -> Result<String, String> {
    let meta = fs::metadata(path).map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("not a regular file".to_owned());
    }
    if meta.len() > max_bytes {
        return Err(format!("longer than {max_bytes} bytes"));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err("the file is empty".to_owned()) } else { Ok(text.to_owned()) }
}
