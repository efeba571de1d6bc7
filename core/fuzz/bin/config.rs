//! libFuzzer entry point of the target `config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tollgate_fuzz::targets::config(data);
});
