//! libFuzzer entry point of the target `deltas`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tollgate_fuzz::targets::deltas(data);
});
