//! Wall time and peak memory of whole programs.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What one run of a program cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Wall time in seconds.
    pub(super) seconds: f64,
    /// Peak resident memory in MiB; 0 when it ended before it could be read.
    pub(super) peak_mib: f64,
}

/// Milliseconds between two looks at the memory of a program.
const LOOKS_APART: u32 = 25;

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started or fails.
pub(super) fn run(command: &mut Command) -> Result<Measured> {
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let (mut peak_kib, mut looks) = (0, 0_u32);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // The kernel keeps the peak; looking all the time would cost the program some of its processors.
        if looks.is_multiple_of(LOOKS_APART) {
            peak_kib = peak_kib.max(status_kib(child.id(), "VmHWM:").unwrap_or(0));
        }
        looks += 1;
        std::thread::sleep(Duration::from_millis(1));
    };
    let seconds = started.elapsed().as_secs_f64();
    if !status.success() {
        bail!("{} failed: {status}", command.get_program().display());
    }
    Ok(Measured { seconds, peak_mib: peak_kib as f64 / 1024.0 })
}

/// A figure of the kernel about a process, such as `VmHWM:`, the peak of its memory, in KiB.
pub(super) fn status_kib(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// The middle of the values; of an even number, the lower of the two.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
