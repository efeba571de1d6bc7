//! libFuzzer entry point of the target `jwks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tollgate_fuzz::targets::jwks(data);
});
