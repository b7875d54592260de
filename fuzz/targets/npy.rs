//! NumPy's arrays: any bytes give an error or a tensor.

#![no_main]

use edgecut_fuzz::{check_memory, measured};
use edgecut_graph::npy;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let read = || npy::parse(bytes).and_then(|array| array.to_tensor());
    let (size, peak) = measured(|| read().map_or(0, |t| t.len() * t.dtype().bytes()));
    check_memory(peak, bytes.len(), size);
});
