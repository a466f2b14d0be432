#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::hostile::feed("ebpf", input));
