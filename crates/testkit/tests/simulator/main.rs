//! The simulator on the wire: what a client really gets.
#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect is to fail, in its helpers too"
)]

mod binaries;
mod bodies;
mod coingecko;
mod coinpaprika;
mod faults;
mod support;
mod time;
mod wire_faults;
