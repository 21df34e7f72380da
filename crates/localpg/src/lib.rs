//! A private Postgres for a machine that runs none: found or fetched, kept in one folder, stopped after use.
//!
//! The server runs from the installed binaries (or from a package of binaries when nothing is installed), as a
//! user other than root, and listens on one Unix socket in a folder that only it and root can enter. It opens
//! no TCP port, so it can neither meet nor be mistaken for somebody else's server.
//!
//! Not here: anything about Kasparro's tables. This crate knows servers and databases, not what is in them.

mod binaries;
mod cluster;
mod config;
mod home;
mod install;
mod postmaster;
mod provision;
mod scratch;
mod session;
mod user;

pub use cluster::{Cluster, Settings, find, start};
pub use provision::NoServer;
pub use scratch::{SHARED_CLUSTER_VARIABLE, Scratch};
pub use session::Session;
