//! The program `kasparro-etl`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kasparro_etl::main()
}
