#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| kasparro_etl::fuzzing::decimal(text));
