//! edgecut's own worker, run in a release build of this program.

use std::path::Path;
use std::sync::Arc;

use edgecut_compress::{QuantizeConfig, calibrate, quantize};
use edgecut_graph::{Tensor, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::{
    CompileOptions, Facts, Packed, Plan, Precision, Session, Storage, compile, pack,
};

use super::worker::floats;
use protocol::Job;

#[path = "../../peers/rust/src/worker.rs"]
mod protocol;

/// `pack MODEL OUT PRECISION`: writes the ONNX file MODEL as a packed model.
/// `quantize MODEL CALIBRATION OUT`: writes the int8 model of the float MODEL; CALIBRATION holds its
/// inputs, one after the other, float32, little-endian.
/// Otherwise serves bursts of `MODEL INPUT SHAPE OUTPUT THREADS PRECISION`, MODEL an ONNX file or a
/// packed model.
pub fn serve(args: &[&str]) -> Result<(), String> {
    if let ["pack", model, out, precision] = args {
        let plan = compiled(Path::new(model), precision)?;
        let packed = pack(&[plan], &Facts::default(), Storage::Plain, Path::new(out));
        return packed.map_err(|e| e.to_string());
    }
    if let ["quantize", model, calibration, out] = args {
        return int8(Path::new(model), Path::new(calibration), Path::new(out));
    }
    let Some(job) = Job::from_args(args.iter().map(|a| a.to_string())) else {
        return Err("usage: bench-worker MODEL INPUT SHAPE OUTPUT THREADS PRECISION".into());
    };
    protocol::serve(&job.output, || {
        let mut session = load(&job.model, job.threads, args.last().unwrap_or(&"f32"))?;
        let plan = session.plan().clone();
        let expected = &plan.inputs().first().ok_or("the model has no input")?.shape;
        if *expected != job.shape {
            return Err(format!("the input is {expected:?}, not {:?}", job.shape));
        }
        let memory = plan.arena_bytes() + plan.scratch_bytes(job.threads);
        let run = move || {
            let text = |e: edgecut_runtime::RuntimeError| e.to_string();
            session.input_mut(0).map_err(text)?.copy_from_slice(&job.input);
            session.run().map_err(text)?;
            let mut all = vec![];
            for index in 0..session.plan().outputs().len() {
                all.extend_from_slice(session.output_f32(index).map_err(text)?);
            }
            Ok(all)
        };
        Ok((run, Some(memory)))
    })
}

fn load(model: &Path, threads: usize, precision: &str) -> Result<Session, String> {
    let plan = match Packed::is_packed(model) {
        true => {
            let packed = Packed::open(model).map_err(|e| e.to_string())?;
            packed.plans().first().cloned().ok_or("the packed model has no plan")?
        }
        false => compiled(model, precision)?,
    };
    Ok(Session::new(plan, Arc::new(Pool::new(threads))))
}

/// With the defaults of the library.
fn int8(model: &Path, calibration: &Path, out: &Path) -> Result<(), String> {
    let graph = onnx::import(model).map_err(|e| e.to_string())?;
    let &[input] = graph.inputs.as_slice() else { return Err("needs one input".into()) };
    let shape = graph.value(input).shape.with_symbols(1);
    let bytes = std::fs::read(calibration).map_err(|e| e.to_string())?;
    let values = floats(&bytes);
    let images = values.chunks_exact(shape.iter().product());
    let images: Result<Vec<Tensor>, _> =
        images.map(|image| Tensor::new(shape.clone(), image.to_vec())).collect();
    let images = images.map_err(|e| e.to_string())?;
    let pool = Arc::new(Pool::for_this_machine());
    let calibration = calibrate(&graph, images, &pool).map_err(|e| e.to_string())?;
    let quantised = quantize(&graph, &calibration, &QuantizeConfig::default());
    let quantised = quantised.map_err(|e| e.to_string())?.graph;
    onnx::export(&quantised, out).map_err(|e| e.to_string())
}

/// An int8 model stays what it is; `bf16` is how a float model computes.
fn compiled(model: &Path, precision: &str) -> Result<Arc<Plan>, String> {
    let precision = if precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let options = CompileOptions { precision, ..CompileOptions::default() };
    let graph = onnx::import(model).map_err(|e| e.to_string())?;
    let plan = compile(&graph, &options).map_err(|e| e.to_string())?;
    Ok(Arc::new(plan))
}
