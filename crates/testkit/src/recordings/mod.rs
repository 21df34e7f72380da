//! Bodies recorded from the real sources. They are kept beside the checkout, not in it, and may be absent.

pub mod lists;

use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of the recordings, or `None` where there is none.
pub fn recordings() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/recordings");
    folder.canonicalize().ok().filter(|folder| folder.is_dir())
}

/// The folder of the recordings; where there is none, says that the named test is skipped.
///
/// Written past the capture of the test harness: a test that did not test anything should be seen.
pub fn skip_without_recordings(test: &str) -> Option<PathBuf> {
    let folder = recordings();
    if folder.is_none() {
        skipped(test, "there are no recordings beside the checkout");
    }
    folder
}

/// Says that a test is skipped, and why, also when the harness hides what passing tests print.
pub fn skipped(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}
