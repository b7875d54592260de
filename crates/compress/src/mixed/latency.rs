//! Widths of layers under a limit on latency.
//!
//! What each layer takes on this machine, in float and in integers, is measured by the runtime's
//! profiler; the widths of least noise whose times fit are found exactly ([`choose`]). Times add
//! only nearly: layers of different widths convert between them and are not joined. So the whole
//! model is measured too, and what it misses or leaves is taken from or given to the budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgecut_graph::cost::cost;
use edgecut_graph::{Graph, Tensor};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, StepProfile, compile};

use super::{Choice, Sensitivity, choose};
use crate::Result;

/// How long a model is measured, and the least and most runs.
const BURST: Duration = Duration::from_millis(150);
const RUNS: (usize, usize) = (7, 300);
/// Prices of a byte that are tried to fit a limit on size too.
const PRICES: usize = 24;

/// Measures graphs on one image.
pub(crate) struct Clock<'a> {
    pub pool: &'a Arc<Pool>,
    pub image: Tensor,
}

/// What a model takes.
pub(crate) struct Timed {
    /// Median of a whole run, microseconds.
    pub total_us: f64,
    /// Of each layer that was asked for, in that order.
    pub layers_us: Vec<f64>,
}

impl Clock<'_> {
    /// Median latency of `graph` in milliseconds.
    pub fn latency_ms(&self, graph: &Graph) -> Result<f64> {
        let mut session = self.session(graph)?;
        let mut times = burst(&mut session)?;
        times.sort_unstable();
        Ok(times[times.len() / 2].as_secs_f64() * 1e3)
    }

    /// The time of `graph`, and of its layers called `names`.
    pub fn layers(&self, graph: &Graph, names: &[String]) -> Result<Timed> {
        let mut session = self.session(graph)?;
        let runs = burst(&mut session)?.len();
        let profile = session.run_profiled(runs)?;
        Ok(Timed {
            total_us: profile.total_ns as f64 / 1e3,
            layers_us: attribute(graph, &profile.steps, names)?,
        })
    }

    fn session(&self, graph: &Graph) -> Result<Session> {
        let plan = Arc::new(compile(graph, &CompileOptions::default())?);
        let mut session = Session::new(plan, Arc::clone(self.pool));
        session.set_input(0, &self.image)?;
        Ok(session)
    }
}

/// Times of several runs, after one that brings the weights in.
fn burst(session: &mut Session) -> Result<Vec<Duration>> {
    session.run()?;
    let (began, mut times) = (Instant::now(), vec![]);
    while times.len() < RUNS.0 || (times.len() < RUNS.1 && began.elapsed() < BURST) {
        let start = Instant::now();
        session.run()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Microseconds of each layer. A step bears the name of its first node and computes all up to that
/// of the next one; layers that it joins share its time by their multiply-adds.
fn attribute(graph: &Graph, steps: &[StepProfile], names: &[String]) -> Result<Vec<f64>> {
    let index = |name: &str| graph.nodes.iter().position(|node| node.name == name);
    let costs = cost(graph, 1)?.nodes;
    let layers: Vec<Option<(usize, f64)>> =
        names.iter().map(|name| index(name).map(|at| (at, costs[at].macs.max(1) as f64))).collect();
    let mut firsts: Vec<(usize, u64)> =
        steps.iter().filter_map(|step| Some((index(&step.info.name)?, step.ns))).collect();
    firsts.sort_unstable();
    let mut us = vec![0.0; names.len()];
    for (i, &(first, ns)) in firsts.iter().enumerate() {
        let end = firsts.get(i + 1).map_or(graph.nodes.len(), |next| next.0.max(first + 1));
        let inside = |layer: &Option<(usize, f64)>| {
            layer.filter(|(at, _)| (first..end).contains(at)).map(|(_, macs)| macs)
        };
        let macs: f64 = layers.iter().filter_map(inside).sum();
        for (us, layer) in us.iter_mut().zip(&layers) {
            if let Some(part) = inside(layer) {
                *us += ns as f64 / 1e3 * part / macs;
            }
        }
    }
    Ok(us)
}

/// Which layers are not of the width that all have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Widths {
    pub float: Vec<String>,
    pub int4: Vec<String>,
}

/// What widths must fit.
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    /// Microseconds of all layers together.
    pub us: f64,
    /// Bytes of all their weights.
    pub bytes: Option<usize>,
}

/// A width that a layer may have.
#[derive(Clone, Copy)]
struct Width {
    bits: u8,
    us: f64,
    bytes: f64,
    noise: f64,
}

/// The widths of least noise that fit, or `None` where even the fastest do not. Exact for time
/// alone; for time and size, exact at the lowest price of a byte at which the size fits.
pub(crate) fn widths(layers: &[Sensitivity], budget: Budget) -> Option<Widths> {
    let options: Vec<Vec<Width>> = layers.iter().map(options).collect();
    let at = |price: f64| pick(&options, budget.us, price);
    let bytes = |picked: &[usize]| -> f64 {
        options.iter().zip(picked).map(|(options, &i)| options[i].bytes).sum()
    };
    let mut picked = at(0.0)?;
    if let Some(most) = budget.bytes.map(|bytes| bytes as f64).filter(|&m| bytes(&picked) > m) {
        // The price is between nothing and what makes bytes alone count.
        let noise: f64 = options.iter().flatten().map(|option| option.noise).sum();
        let (mut low, mut high) = (0.0, noise.max(f64::MIN_POSITIVE) * 2.0);
        picked = at(high).filter(|picked| bytes(picked) <= most)?;
        for _ in 0..PRICES {
            // Prices are spread over magnitudes.
            let middle = if low == 0.0 { high / 64.0 } else { f64::sqrt(low * high) };
            match at(middle).filter(|picked| bytes(picked) <= most) {
                Some(found) => (picked, high) = (found, middle),
                None => low = middle,
            }
        }
    }
    Some(named(layers, &options, &picked))
}

/// The widths of least time.
pub(crate) fn fastest(layers: &[Sensitivity]) -> Widths {
    let options: Vec<Vec<Width>> = layers.iter().map(options).collect();
    let least = |options: &Vec<Width>| {
        let us = |i: &usize| options[*i].us;
        (0..options.len()).min_by(|a, b| us(a).total_cmp(&us(b))).unwrap_or(0)
    };
    let picked: Vec<usize> = options.iter().map(least).collect();
    named(layers, &options, &picked)
}

fn options(layer: &Sensitivity) -> Vec<Width> {
    let noise = |db: f64| 10f64.powf(-db / 10.0);
    let weights = layer.weights as f64;
    let float = layer.float_us.map(|us| Width { bits: 32, us, bytes: 4.0 * weights, noise: 0.0 });
    let base = layer.int8_us.map(|us| {
        let bytes = weights * f64::from(layer.bits) / 8.0;
        Width { bits: layer.bits, us, bytes, noise: noise(layer.int8_db) }
    });
    let four = layer.int4_us.zip(layer.int4_db).map(|(us, db)| Width {
        bits: 4,
        us,
        bytes: weights / 2.0,
        noise: noise(db),
    });
    [float, base, four].into_iter().flatten().collect()
}

fn pick(options: &[Vec<Width>], us: f64, price: f64) -> Option<Vec<usize>> {
    let choices: Vec<Vec<Choice>> = options
        .iter()
        .map(|options| {
            let choice = |o: &Width| Choice {
                cost: (o.us.max(0.0) * 1e3) as u64,
                loss: o.noise + price * o.bytes,
            };
            options.iter().map(choice).collect()
        })
        .collect();
    (us >= 0.0).then(|| choose(&choices, (us * 1e3) as u64)).flatten()
}

fn named(layers: &[Sensitivity], options: &[Vec<Width>], picked: &[usize]) -> Widths {
    let with = |bits: u8| -> Vec<String> {
        let all = layers.iter().zip(options).zip(picked);
        let these = all.filter(|((layer, options), i)| {
            options[**i].bits == bits && (bits == 32 || layer.bits != bits)
        });
        these.map(|((layer, _), _)| layer.node.clone()).collect()
    };
    Widths { float: with(32), int4: with(4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(node: &str, weights: usize, int8_db: f64, us: [f64; 3]) -> Sensitivity {
        Sensitivity {
            node: node.into(),
            weights,
            int8_db,
            int4_db: Some(int8_db - 20.0),
            float_us: Some(us[0]),
            int8_us: Some(us[1]),
            int4_us: Some(us[2]),
            bits: 8,
            reason: String::new(),
        }
    }

    #[test]
    fn the_most_sensitive_stay_float_while_there_is_time() {
        let layers = [
            layer("a", 1000, 20.0, [30.0, 10.0, 9.0]),
            layer("b", 1000, 40.0, [30.0, 10.0, 9.0]),
            layer("c", 1000, 30.0, [30.0, 10.0, 9.0]),
        ];
        let at = |us: f64, bytes: Option<usize>| widths(&layers, Budget { us, bytes });
        let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let float = |us| at(us, None).unwrap().float;
        assert_eq!(float(31.0), names(&[]));
        assert_eq!(float(51.0), names(&["a"]));
        assert_eq!(float(71.0), names(&["a", "c"]));
        assert_eq!(float(91.0), names(&["a", "b", "c"]));
        assert_eq!(at(20.0, None), None);
        assert_eq!(at(-1.0, None), None);
        // 4 bits for speed, where they lose least.
        assert_eq!(at(29.5, None).unwrap().int4, names(&["b"]));
        // And for size: 3000 bytes with all in 8 bits.
        let small = at(60.0, Some(2600)).unwrap();
        assert_eq!(small, Widths { float: vec![], int4: names(&["b"]) });
        assert_eq!(at(60.0, Some(1400)), None);
        assert_eq!(fastest(&layers).int4, names(&["a", "b", "c"]));
    }

    #[test]
    fn layers_of_a_step_share_its_time() {
        use edgecut_graph::{Builder, Window};
        let mut b = Builder::new("net", 1);
        let x = b.input("x", [1.into(), 4.into(), 8.into(), 8.into()]);
        let x = b.conv(x, "a", 8, Window::same(1, 1), 1, true).unwrap();
        let x = b.conv(x, "b", 24, Window::same(1, 1), 1, true).unwrap();
        let x = b.conv(x, "c", 8, Window::same(1, 1), 1, true).unwrap();
        let graph = b.finish(&[x]).unwrap();
        let image = Tensor::zeros([1, 4, 8, 8]).unwrap();
        let clock = Clock { pool: &Arc::new(Pool::new(1)), image };
        let names = ["a", "b", "c"].map(String::from);
        let timed = clock.layers(&graph, &names).unwrap();
        let sum: f64 = timed.layers_us.iter().sum();
        assert!(timed.layers_us.iter().all(|&us| us > 0.0), "{:?}", timed.layers_us);
        assert!(sum <= 1.5 * timed.total_us, "{sum} of {}", timed.total_us);
        assert!(clock.latency_ms(&graph).unwrap() > 0.0);
    }
}
