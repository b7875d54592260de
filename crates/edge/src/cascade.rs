//! A small model on the device, a large one at the servers, and a certificate that says when the small
//! one's answer will do.
//!
//! Every request goes to the small model. Where it is as sure as the certificate demands, its answer is
//! final; else a server is asked, and the small model's answer is kept for the case that none comes in time.
//! A share of the requests, picked by their ids, is audited: what the device answered goes to a server
//! as well, and once both differ too often ([`Drift`]) nothing that the certificate promises is
//! believed any more. From then on every request goes to a server, until somebody starts the
//! device again or gives it another certificate.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use edgecut_collab::certify::Certificate;
use edgecut_collab::digest;
use edgecut_collab::drift::Drift;
use edgecut_collab::partition::Placement;
use edgecut_graph::{Graph, Tensor};

use crate::clock::{MS, Time};
use crate::edge::{lock, zeros};
use crate::engine::{Warm, timed};
use crate::plans::{self, Plans};
use crate::{EdgeError, Result};

/// Largest file of a certificate that is read.
const MAX_BYTES: u64 = 1 << 16;

/// How long before the deadline the device's own answer is given, where no server has answered: time to
/// hand it over. At most this share of the whole.
const HAND_OVER: Time = 5 * MS;
const SHARE: Time = 10;

/// The device's own model, and what was certified of it.
#[derive(Clone)]
pub struct Small {
    /// The file that `edgecut cascade --out` wrote. It is read again when it changes.
    pub certificate: PathBuf,
    /// The small model.
    pub model: Arc<Graph>,
    /// Where it is from.
    pub path: PathBuf,
    /// Share of the requests that is audited; else as the certificate says.
    pub audit: Option<f64>,
}

/// A cascade at work.
pub(crate) struct Cascade {
    small: Small,
    /// Of the small model and of the large one.
    digests: [[u8; 32]; 2],
    /// The plans that send tensors and pictures.
    raw: Option<usize>,
    picture: Option<usize>,
    watch: Mutex<Watch>,
}

struct Watch {
    certificate: Arc<Certificate>,
    drift: Drift,
    /// The file's time and size.
    file: Option<(SystemTime, u64)>,
}

/// What is shown of a cascade.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) certificate: Arc<Certificate>,
    pub(crate) alarmed: bool,
    /// Audited requests, and those of them with different answers.
    pub(crate) audited: [u64; 2],
    pub(crate) evidence: f64,
}

impl Cascade {
    /// The cascade from `small` to `large`, the model of `plans`.
    ///
    /// # Errors
    /// Where the certificate cannot be read or is for other models, and where the models do not fit.
    pub(crate) fn new(small: Small, large: &Graph, plans: &Plans) -> Result<Cascade> {
        check(&small, large)?;
        let digests = [digest(&small.model), digest(large)];
        let file = stamp(&small.certificate);
        let certificate = read(&small, &digests)?;
        let drift = Drift::new(&certificate.audit);
        let find = |wanted| plans.plans.iter().position(|plan| plan.times.placement == wanted);
        let watch = Watch { certificate: Arc::new(certificate), drift, file };
        Ok(Cascade {
            small,
            digests,
            raw: find(Placement::Raw),
            picture: find(Placement::Picture),
            watch: Mutex::new(watch),
        })
    }

    /// The plan that asks a server, for a request with or without a picture; none where the models see
    /// tensors differently, or nothing sends them.
    pub(crate) fn plan(&self, picture: bool) -> Option<usize> {
        let same = self.watch().certificate.same_input;
        match picture {
            true => self.picture.or(self.raw.filter(|_| same)),
            false => self.raw.filter(|_| same),
        }
    }

    /// When the device's own answer is given at the latest, of a request with so much time.
    pub(crate) fn hold_until(&self, left_ns: Time) -> Time {
        left_ns - HAND_OVER.min(left_ns / SHARE)
    }

    /// The exit that is sure enough, by the small model's outputs.
    pub(crate) fn exit(&self, outputs: &[Tensor]) -> Option<usize> {
        let certificate = Arc::clone(&self.watch().certificate);
        let values: Vec<Vec<f32>> = outputs.iter().map(Tensor::to_f32).collect();
        certificate.exit(&values.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    /// Whether everything is escalated.
    pub(crate) fn is_alarmed(&self) -> bool {
        self.watch().drift.tripped()
    }

    /// Whether the request of this id is audited, whatever becomes of it.
    pub(crate) fn audits(&self, id: &str) -> bool {
        self.watch().certificate.audit.picks(id.as_bytes())
    }

    /// An audited request: whether the cascade's answer differs from the large model's. What to say,
    /// where that raises the alarm.
    pub(crate) fn observe(&self, differs: bool) -> Option<String> {
        let mut watch = self.watch();
        let before = watch.drift.tripped();
        if before == watch.drift.observe(differs) {
            return None;
        }
        let [audited, differing] = watch.drift.seen();
        Some(format!(
            "drift: {differing} of {audited} audited answers differ from the large model's, more than {} \
             is certified for: every request goes to a server until this starts again, or {} changes",
            watch.certificate.audit.limit,
            self.small.certificate.display()
        ))
    }

    /// Reads the certificate again where its file has changed. What to say of it; a certificate that
    /// cannot be used changes nothing.
    pub(crate) fn look(&self) -> Option<String> {
        let file = stamp(&self.small.certificate);
        if file.is_none() || self.watch().file == file {
            return None;
        }
        let found = read(&self.small, &self.digests);
        let mut watch = self.watch();
        watch.file = file;
        Some(match found {
            Ok(certificate) => {
                watch.drift = Drift::new(&certificate.audit);
                watch.certificate = Arc::new(certificate);
                format!("{}: is in force", self.small.certificate.display())
            }
            Err(error) => format!("{error}: the certificate before it stays in force"),
        })
    }

    /// What is shown.
    pub(crate) fn seen(&self) -> Seen {
        let watch = self.watch();
        Seen {
            certificate: Arc::clone(&watch.certificate),
            alarmed: watch.drift.tripped(),
            audited: watch.drift.seen(),
            evidence: watch.drift.evidence(),
        }
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        lock(&self.watch)
    }
}

/// A cascade from the small model to that of the plans, which loses its cuts: the device has no part of
/// it.
pub(crate) fn begin(
    folder: &Path,
    plans: &mut Plans,
    small: &Small,
    threads: usize,
) -> Result<(Warm, Option<Arc<Cascade>>)> {
    plans.plans.retain(|plan| plan.cut.is_none());
    let (large, _) = plans::read_model(&plans::whole_file(folder, &plans.name))?;
    let cascade = Cascade::new(small.clone(), &large, plans)?;
    let mut warm = Warm::small(&small.model, &large, plans.plans.len(), threads)?;
    let inputs = zeros(&warm)?;
    warm.whole(&inputs)?;
    let (done, taken) = timed(|| warm.whole(&inputs));
    done?;
    for plan in &mut plans.plans {
        match plan.times.placement {
            Placement::Local => plan.times.own_ns = taken,
            _ => (plan.times.own_ns, plan.times.rest_ns) = (0, taken),
        }
    }
    Ok((warm, Some(Arc::new(cascade))))
}

/// The class of an output; none where it is empty.
pub(crate) fn class(output: &Tensor) -> Option<usize> {
    let values = output.to_f32();
    // The first of equal ones, in both models.
    let best = values.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
    best.map(|(class, _)| class)
}

/// Whether the two models can be a cascade: one input, and answers of the same shape.
fn check(small: &Small, large: &Graph) -> Result<()> {
    let wrong = |problem: String| Err(EdgeError::file(&small.path, problem));
    let inputs = [small.model.inputs.len(), large.inputs.len()];
    if inputs != [1, 1] {
        return wrong(format!("{inputs:?} inputs of the small and the large model: both need one"));
    }
    let (false, Some(&answer)) = (small.model.outputs.is_empty(), large.outputs.last()) else {
        return wrong("the small or the large model has no output".into());
    };
    let form = |graph: &Graph, id| {
        let value = graph.value(id);
        (value.dtype, value.shape.with_symbols(1))
    };
    let wanted = form(large, answer);
    match small.model.outputs.iter().map(|&id| form(&small.model, id)).find(|f| *f != wanted) {
        Some(found) => wrong(format!(
            "an output is {} {:?}, the large model's is {} {:?}",
            found.0, found.1, wanted.0, wanted.1
        )),
        None => Ok(()),
    }
}

fn read(small: &Small, [edge, cloud]: &[[u8; 32]; 2]) -> Result<Certificate> {
    let fail = |problem: String| EdgeError::file(&small.certificate, problem);
    let bytes = bytes(&small.certificate).map_err(|e| fail(e.to_string()))?;
    let mut certificate = Certificate::from_json(&bytes).map_err(|e| fail(e.to_string()))?;
    certificate.check_models(edge, Some(cloud)).map_err(|e| fail(e.to_string()))?;
    if let Some(share) = small.audit {
        certificate.audit.share = share;
    }
    Ok(certificate)
}

fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = vec![];
    // One byte more, which is refused as too large.
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_first_largest() {
        let class = |values: &[f32]| {
            super::class(&Tensor::new(vec![1, values.len()], values.to_vec()).unwrap())
        };
        assert_eq!(class(&[0.1, 0.7, 0.7]), Some(1));
        assert_eq!(class(&[]), None);
    }
}
