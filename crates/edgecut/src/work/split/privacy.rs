//! How much of a picture is left in what crosses.

use std::sync::Arc;

use edgecut_collab::partition::{Decision, Placement, Planner, Vertices};
use edgecut_collab::privacy::distance_correlation;
use edgecut_graph::{Graph, Tensor, ValueId};
use edgecut_kernels::Pool;
use edgecut_train::inversion::{Attack, Inversion, invert};

use super::pictures::Pictures;
use super::prices::observe;
use crate::errors::Result;

/// Training pictures that are compared, and that an attacker learns from.
const PICTURES: usize = 256;

/// Steps of the attacker.
const STEPS: u64 = 200;

/// Distance correlation of pictures with what each of `decisions` sends: 0 where nothing crosses, 1
/// where the picture does.
pub fn correlations(
    decisions: &[Decision],
    (planner, vertices): (&Planner, &Vertices),
    graph: &Graph,
    pictures: &Pictures,
    pool: &Arc<Pool>,
) -> Result<Vec<f64>> {
    let inputs = pictures.training(PICTURES)?;
    let one = |decision: &Decision| match decision.placement {
        Placement::Local => Ok(0.0),
        Placement::Picture | Placement::Raw => Ok(1.0),
        Placement::Split => {
            let sent = planner.problem().crossing(&decision.device);
            let values: Vec<ValueId> = sent.map(|tensor| vertices.value(tensor)).collect();
            let seen = crossing(graph, &values, &inputs, pool)?;
            Ok(distance_correlation(&inputs, &seen)?)
        }
    };
    decisions.iter().map(one).collect()
}

/// What an attacker draws who sees `values`; none where several cross at once.
pub fn attack(
    graph: &Graph,
    values: &[ValueId],
    pictures: &Pictures,
    pool: &Arc<Pool>,
) -> Result<Option<Inversion>> {
    let [_] = values else { return Ok(None) };
    let inputs = pictures.training(PICTURES)?;
    let seen = crossing(graph, values, &inputs, pool)?;
    let attack = Attack { steps: STEPS, seed: 1, threads: pool.threads() };
    Ok(Some(invert(&seen, &pictures.training_pixels(PICTURES)?, &attack)?))
}

/// What crosses for each of `inputs`: the tensor, or all of them one behind the other.
fn crossing(
    graph: &Graph,
    values: &[ValueId],
    inputs: &[Tensor],
    pool: &Arc<Pool>,
) -> Result<Vec<Tensor>> {
    let mut seen = observe(graph, values, inputs, pool)?;
    if seen.len() == 1 {
        return Ok(seen.swap_remove(0));
    }
    let joined = |index: usize| {
        let all: Vec<f32> = seen.iter().flat_map(|tensors| tensors[index].to_f32()).collect();
        Ok(Tensor::new([1, all.len()], all)?)
    };
    (0..inputs.len()).map(joined).collect()
}
