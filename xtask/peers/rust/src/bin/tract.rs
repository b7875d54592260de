//! Runs a model in tract, optimised when it is loaded.

use edgecut_bench_workers::{Job, serve};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::tract_linalg::multithread::{self, Executor};

fn main() -> Result<(), String> {
    let usage = "usage: tract MODEL INPUT SHAPE OUTPUT THREADS";
    let job = Job::from_args(std::env::args().skip(1)).ok_or(usage)?;
    serve(&job.output, || {
        if job.threads > 1 {
            multithread::set_default_executor(Executor::multithread(job.threads));
        }
        let plan = tract_onnx::onnx()
            .model_for_path(&job.model)
            .and_then(|model| model.with_input_fact(0, f32::fact(&job.shape[..]).into()))
            .and_then(|model| model.into_optimized())
            .and_then(|model| model.into_runnable())
            .map_err(|e| format!("{e:#}"))?;
        let x = Tensor::from_shape(&job.shape, &job.input).map_err(|e| e.to_string())?;
        let run = move || {
            let results = plan.run(tvec!(x.clone().into())).map_err(|e| format!("{e:#}"))?;
            let mut all = vec![];
            for result in results {
                let view = result.to_plain_array_view::<f32>().map_err(|e| e.to_string())?;
                all.extend(view.iter());
            }
            Ok(all)
        };
        Ok((run, None))
    })
}
