//! Settings that are secrets: from the environment or from a file, and never printed.

use std::ffi::OsStr;
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
/// Empty is the same as unset. A file that every user of the machine can read is read with a warning.
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
            if is_open_to_everybody(Path::new(&path)) {
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

/// Whether every user of the machine can read a file: it lets them, and so does each folder on the way to it.
/// Not asked where containers have their secrets, which are made readable for programs of any user.
fn is_open_to_everybody(path: &Path) -> bool {
    const OTHERS_READ: u32 = 0o004;
    const OTHERS_ENTER: u32 = 0o001;
    let allows =
        |path: &Path, bit: u32| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & bit != 0);
    let Ok(path) = path.canonicalize() else { return false };
    !is_mounted(&path)
        && allows(&path, OTHERS_READ)
        && path.ancestors().skip(1).all(|folder| allows(folder, OTHERS_ENTER))
}

/// Whether it is where compose mounts a secret, or in a volume of Kubernetes: there a name leads to a file in a folder such
/// as `..2026_01_31_10_00_00.123456789`.
fn is_mounted(path: &Path) -> bool {
    let is_of_a_volume = |part: &OsStr| part.as_encoded_bytes().starts_with(b"..2");
    ["/run/secrets", "/var/run/secrets"].iter().any(|folder| path.starts_with(folder))
        || path.iter().any(is_of_a_volume)
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

#[cfg(test)]
mod tests {
    use std::env::temp_dir;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_open_where_every_folder_above_it_is() {
        let base = temp_dir().join(format!("kasparro-secret-{}", std::process::id()));
        let volume = base.join("..2026_01_31_10_00_00.1");
        fs::create_dir_all(&volume).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let (file, mounted, link) = (base.join("secret"), volume.join("secret"), base.join("mounted"));
        for file in [&file, &mounted] {
            fs::write(file, "canary").unwrap();
            set(file, 0o644);
        }
        symlink(&mounted, &link).unwrap();
        let is_open = |folder_mode, file_mode| {
            set(&base, folder_mode);
            set(&file, file_mode);
            is_open_to_everybody(&file)
        };
        assert_eq!([is_open(0o755, 0o600), is_open(0o755, 0o640), is_open(0o700, 0o644)], [false; 3]);
        // As far as others come to the folder of temporary files.
        let reached = temp_dir().canonicalize().unwrap();
        let is_reached =
            reached.ancestors().all(|folder| fs::metadata(folder).unwrap().permissions().mode() & 0o001 != 0);
        assert_eq!(is_open(0o755, 0o644), is_reached);
        assert!(!is_open_to_everybody(&link), "a volume of Kubernetes");
        assert!(is_mounted(Path::new("/run/secrets/kasparro/url")) && !is_mounted(Path::new("/run/secret")));
        fs::remove_dir_all(&base).unwrap();
    }
}
