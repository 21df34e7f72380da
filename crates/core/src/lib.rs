//! What the loader and the service share: the schema, the unified record model and all SQL.
//!
//! * [`schema`]: the tables, as Diesel sees them.
//! * [`record`] and [`decimal`]: one market observation, digit for digit.
//! * [`raw`]: the records within the bytes that a source sent.
//! * [`arithmetic`], [`consensus`], [`plausibility`]: which price to believe, and what cannot be true.
//! * [`robust`]: what is usual, and how far something is from it.
//! * [`store`]: one module per table or question; the only place with SQL.
//! * [`address`]: the address of a database, before libpq sees it.
//! * [`db`]: connections, migrations, the version check.
//! * [`role`]: roles of the database that only read, or only load.
//! * [`env_file`]: the file `.env`.
//! * [`secret`]: settings that may come from a file and are never printed.
//! * [`log_line`]: what a line of the log looks like.
//!
//! Nothing here knows HTTP, neither that of the sources nor that of the service.

pub mod address;
pub mod arithmetic;
pub mod consensus;
pub mod db;
pub mod decimal;
pub mod env_file;
pub mod log_line;
pub mod plausibility;
pub mod raw;
pub mod record;
pub mod robust;
pub mod role;
#[allow(missing_docs, reason = "the tables are described by COMMENT ON in the migrations")]
pub mod schema;
pub mod secret;
pub mod store;

pub use decimal::Decimal;
pub use record::{MarketRecord, Reject, RejectCode, Values};
