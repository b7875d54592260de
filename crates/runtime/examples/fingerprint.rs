//! What models compute, as a number: `fingerprint MODEL...`.
//!
//! Runs each model on every instruction set of this machine, on one thread and two, with the same
//! generated inputs on any machine, some of them far outside of what a quantised model is made for.
//! Prints a line `MODEL ISA THREADS HASH` for each; hashes of one model are equal where it computes
//! the same bits.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use edgecut_graph::rng::Rng;
use edgecut_graph::{DType, Data, Graph, Tensor, onnx, tflite};
use edgecut_kernels::{Isa, Pool};
use edgecut_runtime::{CompileOptions, Session, compile};

/// Largest magnitude of the numbers of each input set.
const REACHES: [f32; 3] = [1.0, 4.0, 1000.0];

fn main() -> Result<(), Box<dyn Error>> {
    let models: Vec<String> = std::env::args().skip(1).collect();
    if models.is_empty() {
        return Err("usage: fingerprint MODEL...".into());
    }
    for model in &models {
        let path = Path::new(model);
        let graph = match path.extension() {
            Some(kind) if kind == "tflite" => tflite::import(path)?,
            _ => onnx::import(path)?,
        };
        for isa in Isa::available() {
            for threads in [1, 2] {
                let hash = fingerprint(&graph, isa, threads)?;
                println!("{model} {} {threads} {hash:016x}", isa.name());
            }
        }
    }
    Ok(())
}

fn fingerprint(graph: &Graph, isa: Isa, threads: usize) -> Result<u64, Box<dyn Error>> {
    let plan = compile(graph, &CompileOptions { isa, ..CompileOptions::default() })?;
    let mut session = Session::new(Arc::new(plan), Arc::new(Pool::new(threads)));
    let mut hash = FNV_OFFSET;
    for (seed, reach) in REACHES.into_iter().enumerate() {
        let mut rng = Rng::new(seed as u64);
        let ports = session.plan().inputs().iter();
        let inputs: Vec<Tensor> = ports
            .map(|p| generated(p.dtype, &p.shape, reach, &mut rng))
            .collect::<Result<_, _>>()?;
        for output in session.infer(&inputs)? {
            hash = add(hash, &output);
        }
    }
    Ok(hash)
}

fn generated(
    dtype: DType,
    shape: &[usize],
    reach: f32,
    rng: &mut Rng,
) -> Result<Tensor, Box<dyn Error>> {
    let count = shape.iter().product();
    let data: Data = match dtype {
        DType::F32 => (0..count).map(|_| rng.range(-reach, reach)).collect::<Vec<f32>>().into(),
        DType::U8 => (0..count).map(|_| rng.below(256) as u8).collect::<Vec<u8>>().into(),
        DType::I8 => (0..count).map(|_| rng.below(256) as i8).collect::<Vec<i8>>().into(),
        other => return Err(format!("an input of {other:?}").into()),
    };
    Ok(Tensor::new(shape.to_vec(), data)?)
}

/// FNV-1a, 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn add(hash: u64, tensor: &Tensor) -> u64 {
    let one = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    match tensor.data() {
        Data::F32(v) => v.iter().flat_map(|v| v.to_bits().to_le_bytes()).fold(hash, one),
        Data::U8(v) => v.iter().copied().fold(hash, one),
        Data::I8(v) => v.iter().map(|&v| v as u8).fold(hash, one),
        Data::I32(v) => v.iter().flat_map(|v| v.to_le_bytes()).fold(hash, one),
        Data::I64(v) => v.iter().flat_map(|v| v.to_le_bytes()).fold(hash, one),
        Data::Bool(v) => v.iter().map(|&v| u8::from(v)).fold(hash, one),
    }
}
