//! libFuzzer entry point of the target `edge_report`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tollgate_fuzz::targets::edge_report(data);
});
