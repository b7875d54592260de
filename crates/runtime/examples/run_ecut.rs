//! The smallest program that runs a packed model: what goes onto a device.
//!
//!     edgecut convert model.onnx model.ecut
//!     cargo build -p edgecut-runtime --example run_ecut --no-default-features --profile edge
//!     target/edge/examples/run_ecut model.ecut input.f32 [THREADS]
//!
//! The input file holds the elements of the model's input in ONNX order as little-endian float32;
//! the five largest elements of the first output are printed. Without the feature `compile`
//! neither the readers of ONNX and TFLite nor the compiler are part of the program, and without
//! `coded` no decoder: a model made with `--coded` needs `--features coded`.
//! `cargo xtask edge` builds it and says how large it is.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use edgecut_kernels::Pool;
use edgecut_runtime::{Packed, Session};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.as_slice() {
        [model, input] => run(model, input, "1"),
        [model, input, threads] => run(model, input, threads),
        _ => Err("usage: run_ecut MODEL.ecut INPUT.f32 [THREADS]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(model: &str, input: &str, threads: &str) -> Result<(), Box<dyn Error>> {
    let threads = threads.parse().map_err(|_| format!("'{threads}' is no number of threads"))?;
    let began = Instant::now();
    let packed = Packed::open(Path::new(model))?;
    let plan = Arc::clone(&packed.plans()[0]);
    let mut session = Session::new(plan, Arc::new(Pool::new(threads)));
    let loaded = began.elapsed();

    let bytes = std::fs::read(input).map_err(|e| format!("{input}: {e}"))?;
    let wanted = session.input_mut(0)?;
    if bytes.len() != size_of_val(wanted) {
        let (found, expected) = (bytes.len(), size_of_val(wanted));
        return Err(format!("{input}: has {found} bytes, the model takes {expected}").into());
    }
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().zip(wanted).for_each(|(bytes, x)| *x = f32::from_le_bytes(*bytes));

    let began = Instant::now();
    session.run()?;
    let ran = began.elapsed();

    let scores = session.output_f32(0)?;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    for index in order.into_iter().take(5) {
        println!("{index:6}  {:.6}", scores[index]);
    }
    eprintln!("load {:.2} ms, run {:.2} ms", loaded.as_secs_f64() * 1e3, ran.as_secs_f64() * 1e3);
    Ok(())
}
