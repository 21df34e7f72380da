#![no_main]

libfuzzer_sys::fuzz_target!(|input: ([i64; 4], Vec<u8>)| {
    let path = std::env::temp_dir().join(format!("kasparro-fuzz-state-{}.csv", std::process::id()));
    let (numbers, bytes) = input;
    kasparro_etl::fuzzing::csv_checkpoint(&path, &bytes, numbers);
});
