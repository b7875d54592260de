//! What every target checks: reading takes no more memory than the file accounts for, and what is
//! read is valid.
//!
//! Panics, overflows and runs over the time limit are found by the fuzzer itself.

use edgecut_graph::limits::{MAX_FOLDED_ELEMENTS, MAX_IMPORT_OVERHEAD};
use edgecut_graph::{DType, Data, Graph, GraphError, Tensor};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Runs `read` and returns its result with the bytes that it held at most.
pub fn measured<T>(read: impl FnOnce() -> T) -> (T, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = read();
    (result, MEMORY.peak_usage().saturating_sub(before))
}

/// Fails where reading `len` bytes with `tensors` bytes of elements took more than four times
/// both, beside the fixed allowance for the structure of a graph.
pub fn check_memory(peak: usize, len: usize, tensors: usize) {
    let bound = 4 * (len + tensors) + MAX_IMPORT_OVERHEAD;
    assert!(peak <= bound, "{peak} bytes for a file of {len} with {tensors} of elements");
}

/// Checks what a model's reader made of a file of `len` bytes.
pub fn check_model(read: impl FnOnce() -> Result<Graph, GraphError>, len: usize) -> Option<Graph> {
    let (result, peak) = measured(read);
    match result {
        Ok(graph) => {
            let constants = graph.values().iter().filter_map(|v| v.constant.as_ref());
            check_memory(peak, len, constants.map(Tensor::bytes).sum());
            graph.validate().expect("what is imported is valid");
            Some(graph)
        }
        Err(error) => {
            // Constants may have been computed before the error, as many as the limit allows.
            check_memory(peak, len, 8 * MAX_FOLDED_ELEMENTS);
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// Numbers in another type, by saturation; `None` where there is no such tensor.
pub fn cast(tensor: &Tensor, dtype: DType) -> Option<Tensor> {
    let values = tensor.to_f32();
    let data: Data = match dtype {
        DType::F32 => return Some(tensor.clone()),
        DType::U8 => values.iter().map(|&v| v as u8).collect::<Vec<_>>().into(),
        DType::I8 => values.iter().map(|&v| v as i8).collect::<Vec<_>>().into(),
        DType::I32 => values.iter().map(|&v| v as i32).collect::<Vec<_>>().into(),
        DType::I64 => values.iter().map(|&v| v as i64).collect::<Vec<_>>().into(),
        DType::Bool => values.iter().map(|&v| v > 0.0).collect::<Vec<_>>().into(),
    };
    Tensor::new(tensor.shape(), data).ok()
}
