#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| seglift_fuzz::scrub_state::run(data));
