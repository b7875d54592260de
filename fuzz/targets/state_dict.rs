//! PyTorch weights: any bytes, read as each of the formats, give an error or tensors.

#![no_main]

use edgecut_fuzz::{check_memory, measured};
use edgecut_zoo::state_dict::{Format, from_bytes, from_bytes_as};

fn all_tensors(bytes: &[u8], format: Option<Format>) -> usize {
    let weights = match format {
        Some(format) => from_bytes_as(format, "fuzz", bytes),
        None => from_bytes("fuzz", bytes),
    };
    let Ok(weights) = weights else { return 0 };
    let names: Vec<String> = weights.names().map(String::from).collect();
    // One at a time, as they are assigned; what counts is the largest.
    let sizes = names.iter().filter_map(|name| weights.tensor(name)).map(|t| t.bytes());
    sizes.max().unwrap_or(0)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let formats = [Format::TorchZip, Format::TorchLegacy, Format::Safetensors].map(Some);
    for format in formats.into_iter().chain([None]) {
        let (largest, peak) = measured(|| all_tensors(bytes, format));
        check_memory(peak, bytes.len(), largest);
    }
});
