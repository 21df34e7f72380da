#![no_main]

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    for name in ["retry-after", "x-ratelimit-reset"] {
        kasparro_etl::fuzzing::retry_after(name, value);
    }
});
