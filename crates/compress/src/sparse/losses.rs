//! What single weights are worth by the gradients of the loss.

use std::collections::BTreeMap;

use edgecut_graph::{Graph, ValueId, passes};
use serde::{Deserialize, Serialize};

use super::matrix::Matrix;
use crate::gradients::each_image;
use crate::{CompressError, Control, Images, Result};

/// How the worth of a weight `w` follows from the gradient `g` of the mean loss by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Saliency {
    /// `|w g|`: how much the loss changes without it, to first order (Lee et al. 2019,
    /// arXiv:1810.02340).
    Snip,
    /// `-w g`: whether a step of training would move it away from zero (Sanh et al. 2020,
    /// arXiv:2005.07683, who add it up along a training; where weights go in steps with training in
    /// between, each step asks anew).
    Movement,
}

/// The worth of the weights of all dense layers of `graph` on images with classes, by their names, as
/// [`sparsify`](super::sparsify) takes it. Weights that are zero already are worth least.
///
/// # Errors
/// Images without classes, a graph that does not train, or a layer of it.
pub fn saliencies(
    graph: &Graph,
    saliency: Saliency,
    images: &dyn Images,
    threads: usize,
    control: &Control,
) -> Result<BTreeMap<String, Vec<f64>>> {
    if images.is_empty() {
        return Err(CompressError::NoImages);
    }
    let names = |graph: &Graph| -> Vec<(String, ValueId)> {
        let layers = Matrix::of_layers(graph, &[]).into_iter();
        layers.map(|(_, id)| (graph.value(id).name.clone(), id)).collect()
    };
    let wanted = names(graph);
    let mut graph = graph.clone();
    passes::simplify(&mut graph)?;
    let known: BTreeMap<String, ValueId> = names(&graph).into_iter().collect();
    let mut sums: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    each_image(&graph, images, threads, control, |gradients| {
        for (name, _) in &wanted {
            let gradient = known.get(name).and_then(|id| gradients.get(id));
            let gradient = gradient.ok_or(CompressError::NoGradient { value: name.clone() })?;
            let sum = sums.entry(name.clone()).or_insert_with(|| vec![0.0; gradient.len()]);
            sum.iter_mut().zip(gradient).for_each(|(sum, &g)| *sum += f64::from(g));
        }
        Ok(())
    })?;
    for (name, sums) in &mut sums {
        let weights = known.get(name).and_then(|&id| graph.constant(id));
        let weights = weights.ok_or(CompressError::NoGradient { value: name.clone() })?;
        for (score, &w) in sums.iter_mut().zip(weights.to_f32().iter()) {
            let change = f64::from(w) * *score / images.len() as f64;
            *score = match saliency {
                _ if w == 0.0 => f64::MIN,
                Saliency::Snip => change.abs(),
                Saliency::Movement => -change,
            };
        }
    }
    Ok(sums)
}
