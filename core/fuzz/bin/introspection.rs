//! libFuzzer entry point of the target `introspection`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tollgate_fuzz::targets::introspection(data);
});
