//! libFuzzer entry point of the target `policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tollgate_fuzz::targets::policy(data);
});
