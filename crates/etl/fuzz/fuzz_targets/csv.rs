#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("kasparro-fuzz-{}.csv", std::process::id()));
    kasparro_etl::fuzzing::csv(&path, bytes);
});
