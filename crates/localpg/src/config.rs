//! The server's settings, written anew at each start so that they follow the program.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::binaries::Binaries;
use crate::user::ServerUser;

/// Included by the server's own configuration file.
pub(crate) const FILE: &str = "kasparro.conf";

/// There is no TCP port; the number only names the socket.
pub(crate) const PORT: u16 = 5432;

/// Writes the settings into a data directory.
pub(crate) fn write(
    data: &Path,
    socket_folder: &Path,
    durable: bool,
    binaries: &Binaries,
    user: &ServerUser,
) -> Result<()> {
    let text = [common(socket_folder), if durable { keeps() } else { forgets() }.to_owned()].concat();
    let compression = if supports_lz4(data, binaries, user) { "wal_compression = lz4\n" } else { "" };
    let file = data.join(FILE);
    fs::write(&file, text + compression).with_context(|| format!("cannot write {}", file.display()))?;
    user.give(&file)?;
    Ok(())
}

fn common(socket_folder: &Path) -> String {
    format!(
        "# Written by kasparro-localpg at each start; changes made here are lost.\n\
         listen_addresses = ''\n\
         unix_socket_directories = '{}'\n\
         port = {PORT}\n\
         max_connections = 200\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         log_line_prefix = '%m [%p] %a '\n\
         max_wal_size = '4GB'\n\
         checkpoint_timeout = '15min'\n",
        socket_folder.display()
    )
}

/// For data that is to be there tomorrow: a confirmed commit survives a loss of power.
fn keeps() -> &'static str {
    "fsync = on\nfull_page_writes = on\nsynchronous_commit = on\nshared_buffers = '256MB'\n"
}

/// For tests, which throw the data away: nothing waits for the disk. What was committed still survives the death of
/// the server, as tests of that need (`synchronous_commit`, which without `fsync` costs nothing).
fn forgets() -> &'static str {
    "fsync = off\nfull_page_writes = off\nsynchronous_commit = on\nshared_buffers = '128MB'\n\
     wal_level = minimal\nmax_wal_senders = 0\n"
}

/// A server before 15, or built without lz4, refuses to start with a setting that it does not know.
fn supports_lz4(data: &Path, binaries: &Binaries, user: &ServerUser) -> bool {
    user.command(binaries.folder.join("postgres"))
        .arg("-D")
        .arg(data)
        .args(["-C", "wal_compression", "-c", "wal_compression=lz4"])
        .output()
        .is_ok_and(|output| output.status.success())
}
