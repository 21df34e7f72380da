#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| kasparro_etl::fuzzing::json_source("coinpaprika", body));
