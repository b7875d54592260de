//! Runs a model in rten, weights packed when it is loaded.

use std::sync::Arc;

use edgecut_bench_workers::{Job, serve};
use rten::{ModelOptions, RunOptions, ThreadPool};
use rten_tensor::prelude::*;
use rten_tensor::{Tensor, TensorView};

fn main() -> Result<(), String> {
    let usage = "usage: rten MODEL INPUT SHAPE OUTPUT THREADS";
    let job = Job::from_args(std::env::args().skip(1)).ok_or(usage)?;
    serve(&job.output, || {
        let mut options = ModelOptions::with_all_ops();
        options.prepack_weights(true);
        let model = options.load_file(&job.model).map_err(|e| e.to_string())?;
        let pool = Arc::new(ThreadPool::with_num_threads(job.threads));
        let input = *model.input_ids().first().ok_or("the model has no input")?;
        let outputs = model.output_ids().to_vec();
        let x = TensorView::from_data(&job.shape[..], &job.input[..]);
        let run = move || {
            let mut options = RunOptions::default();
            options.thread_pool = Some(pool.clone());
            let results = model
                .run(vec![(input, x.view().into())], &outputs, Some(options))
                .map_err(|e| e.to_string())?;
            let mut all = vec![];
            for result in results {
                let tensor: Tensor<f32> = result.try_into().map_err(|e| format!("{e:?}"))?;
                all.extend(tensor.iter());
            }
            Ok(all)
        };
        Ok((run, None))
    })
}
