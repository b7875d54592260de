//! Every network of the zoo learns a handful of pictures.

use edgecut_graph::rng::Rng;
use edgecut_kernels::{Isa, Pool};
use edgecut_train::Optimizer;
use edgecut_train::engine::Engine;
use edgecut_train::optim::{Group, OptimizerState};
use edgecut_train::plan::TrainPlan;
use edgecut_zoo::Options;

const BATCH: usize = 8;
const STEPS: u64 = 18;

#[test]
fn every_network_takes_steps_and_its_loss_falls() {
    for architecture in edgecut_zoo::list() {
        let name = architecture.name;
        let options = Options {
            width: Some(0.25),
            resolution: Some(48),
            classes: Some(2),
            ..Options::default()
        };
        let graph = edgecut_zoo::build(name, &options).unwrap();
        let plan = TrainPlan::new(&graph, BATCH).unwrap_or_else(|e| panic!("{name}: {e}"));
        let groups = Group::of_tensors(plan.params());
        let mut optimizer = OptimizerState::new(Optimizer::ADAMW, groups);
        let mut engine = Engine::new(plan, Pool::new(2), Isa::detect());
        let mut rng = Rng::new(5);
        let len = BATCH * engine.plan().input().len();
        let x: Vec<f32> = (0..len).map(|_| rng.normal()).collect();
        let mut losses = vec![];
        for step in 0..STEPS {
            engine.forward(&x, BATCH, true);
            losses.push(engine.loss(&[0, 1, 1, 0, 1, 0, 0, 1], 0.0));
            engine.backward();
            let (params, gradients, pool) = engine.update();
            optimizer.step(pool, &mut params.values, gradients, 0.0, 3e-4, step);
        }
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!(last < 0.98 * first, "{name}: {losses:?}");
    }
}
