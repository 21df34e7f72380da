//! What Kasparro's tests stand on: real databases, real processes, and sources that obey.
//!
//! A development dependency only; nothing that is shipped uses it.

pub mod bench;
pub mod csv_generator;
pub mod database;
pub mod pooler;
pub mod process;
pub mod proxy;
pub mod recordings;
pub mod simulator;
