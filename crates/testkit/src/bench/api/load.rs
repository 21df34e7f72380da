//! Load by other people's programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use kasparro_localpg::Cluster;

/// What `wrk` found.
pub(super) struct Load {
    pub(super) per_second: f64,
    pub(super) p99_ms: f64,
    pub(super) mean_ms: f64,
}

/// Asks for one address over so many connections. Answers other than 2xx and 3xx are a failure.
pub(super) fn wrk(url: &str, connections: usize, seconds: u64) -> Result<Load> {
    load(&mut Command::new("wrk"), url, connections, seconds)
}

/// Asks for one path of a server after the other, each thread of the load from another one on.
pub(super) fn wrk_in_turn(
    url: &str,
    paths: &[String],
    script: &Path,
    connections: usize,
    seconds: u64,
) -> Result<Load> {
    fs::write(script, IN_TURN.replace("{paths}", &serde_json::to_string(paths)?.replace(['[', ']'], "")))?;
    load(Command::new("wrk").arg("--script").arg(script), url, connections, seconds)
}

const IN_TURN: &str = "local paths, requests, at = {{paths}}, {}, 0
function setup(thread) at = at + 977; thread:set('first', at) end
function init(args)
  for i, path in ipairs(paths) do requests[i] = wrk.format('GET', path) end
  at = first
end
function request() at = at % #requests + 1; return requests[at] end
";

fn load(wrk: &mut Command, url: &str, connections: usize, seconds: u64) -> Result<Load> {
    let threads = connections.min(2);
    let text =
        output(wrk.args(["--latency", "-t", &threads.to_string(), "-c", &connections.to_string()]).args([
            "-d",
            &format!("{seconds}s"),
            url,
        ]))?;
    if text.contains("Non-2xx") {
        bail!("{url}: {text}");
    }
    let behind = |name: &str| -> Result<&str> {
        let line = text.lines().map(str::trim).find(|line| line.starts_with(name)).context(text.clone())?;
        line[name.len()..].split_whitespace().next().context("a value")
    };
    Ok(Load {
        per_second: behind("Requests/sec:")?.parse()?,
        p99_ms: milliseconds(behind("99%")?)?,
        mean_ms: milliseconds(behind("Latency")?)?,
    })
}

/// `12.34us`, `1.20ms` or `2.00s`.
fn milliseconds(text: &str) -> Result<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        unit => bail!("{unit} in {text}"),
    };
    Ok(digits.parse::<f64>()? * scale)
}

/// Scripts a second that pgbench runs, prepared.
pub(super) fn pgbench(
    cluster: &Cluster,
    database: &str,
    script: &Path,
    clients: usize,
    seconds: u64,
) -> Result<f64> {
    let text = output(
        Command::new(cluster.bin("pgbench"))
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
            .args(["--client", &clients.to_string(), "--time", &seconds.to_string(), "--file"])
            .arg(script)
            .arg(database),
    )?;
    let line = text.lines().find(|line| line.starts_with("tps = ")).context(text.clone())?;
    line["tps = ".len()..].split(' ').next().context("a number")?.parse().context("a number")
}

fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
