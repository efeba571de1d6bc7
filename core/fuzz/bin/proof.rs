//! libFuzzer entry point of the target `proof`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tollgate_fuzz::targets::proof(data);
});
