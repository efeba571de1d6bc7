//! libFuzzer entry point of the target `claims`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tollgate_fuzz::targets::claims(data);
});
