#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| seglift_fuzz::config::run(data));
