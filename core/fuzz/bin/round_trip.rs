//! libFuzzer entry point of the target `round_trip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tollgate_fuzz::round_trip::round_trip(data);
});
