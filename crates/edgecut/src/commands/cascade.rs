//! `edgecut cascade`: a small model on the device, a large one behind the link, and when the first
//! one's answer will do.

use std::path::{Path, PathBuf};

use edgecut_collab::certify::{
    Certificate, Goal, Ledger, Measured, Resplits, Risk, Sample, Score, Sequence, VERSION,
    upper_bound,
};
use edgecut_collab::drift::{self, Audit};
use edgecut_collab::hex;
use edgecut_graph::rng::Rng;
use serde::Serialize;

use super::eval::EvalData;
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::stats::Share;
use crate::work::cascade::{Answers, Voice, samples, trained_here};
use crate::work::preprocessing::Preprocessing;
use crate::{files, term};

/// Below this probability re-splits refute the guarantee.
const REFUTED: f64 = 0.01;

/// Confidence of the disagreement up to which there is no alarm, where the gap is certified.
const AUDIT_BOUND: f64 = 0.01;

/// Picked requests before a change, and most after it, in simulations of the alarm.
const STEADY: [u64; 2] = [2_000, 100_000];

/// Runs of these simulations.
const RUNS: u64 = 51;

/// Options of `cascade`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut cascade small.onnx large.onnx --data fashion-mnist --epsilon 0.01 --out cascade.json
  edgecut cascade small.onnx large.onnx --data ./flowers --risk disagreement --score margin
  edgecut cascade resnet8.onnx resnet20.onnx --data ./cifar10-jpeg --preprocess pixels \\
      --cloud-preprocess cifar --resplits 1000

The device answers where EDGE is sure enough, else CLOUD does. How sure is enough is found on one part
of the pictures, which neither model may have been trained on, such that with probability 1 - delta
over their drawing the cascade's accuracy on new pictures of the same kind lies at most epsilon below
CLOUD's (fixed-sequence testing in Learn then Test, with a test for paired answers that is exact for
any number of pictures). The other part then measures it. EDGE may have several outputs, one for each
exit, the first one first; a model with exits is both EDGE and CLOUD. An edge that loads the certificate sends a share of all requests to the
cloud as well, whatever it thinks of them, and escalates everything once their answers differ too
often; as long as nothing changes, that alarm comes with probability --alpha at most, ever.")]
pub struct Args {
    /// The device's model
    #[arg(value_name = "EDGE")]
    edge: PathBuf,
    /// The model behind the link
    #[arg(value_name = "CLOUD")]
    cloud: PathBuf,
    #[command(flatten)]
    data: EvalData,
    /// How much may be lost, as a share of all pictures
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    epsilon: f64,
    /// How often the guarantee may fail
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    delta: f64,
    /// What is lost: accuracy (gap), or answers that are CLOUD's (disagreement)
    #[arg(long, value_enum, value_name = "RISK", default_value = "gap")]
    risk: RiskName,
    /// How sure a model is: its largest probability, that less the second, or one less its entropy
    #[arg(long, value_enum, value_name = "SCORE", default_value = "max")]
    score: ScoreName,
    /// Share of the pictures that certifies
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share)]
    calibration: f64,
    /// Splits the pictures, and picks requests, by this number
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Split that many times, and count how often the guarantee fails
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    resplits: u64,
    /// Share of requests that an edge sends to the cloud as well
    #[arg(long, value_name = "SHARE", default_value_t = 0.005, value_parser = share)]
    audit: f64,
    /// Probability of an alarm in vain
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    alpha: f64,
    #[command(flatten)]
    preprocessing: Preprocessing,
    /// The same for CLOUD [default: as --preprocess]
    #[arg(long, value_name = "NAME|FILE.json")]
    cloud_preprocess: Option<String>,
    /// Where to write the certificate, which an edge loads (JSON)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What must stay small.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum RiskName {
    Gap,
    Disagreement,
}

/// How sure a model is.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum ScoreName {
    Max,
    Margin,
    Entropy,
}

fn share(text: &str) -> std::result::Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    match value > 0.0 && value < 1.0 {
        true => Ok(value),
        false => Err("must lie between 0 and 1".into()),
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    data: &'a str,
    note: Option<&'a str>,
    certificate: &'a Certificate,
    /// On the pictures that did not certify.
    test: Test,
    /// Picked requests until an alarm, where the disagreement becomes twice and five times the limit; of
    /// simulations.
    alarm_after: [Option<u64>; 2],
    resplits: Option<&'a Resplits>,
    written: Option<&'a Path>,
}

/// What the cascade does on pictures that did not certify it.
#[derive(Serialize)]
struct Test {
    edge: Share,
    cascade: Share,
    cloud: Share,
    /// The cloud's accuracy less the cascade's.
    gap: f64,
    /// Pictures on which the cascade answers as the cloud.
    agree: Share,
    /// Pictures that the cloud is not asked for.
    saved: Share,
    /// Answered by each exit.
    exits: Vec<usize>,
}

/// Certifies.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if let Some(out) = &args.out {
        files::check_writable(out)?;
    }
    let Heard { samples, digests: [edge, cloud], distribution, same_input, note } =
        listen(args, global)?;
    let calibration = (args.calibration * samples.len() as f64).round() as usize;
    let sequence = Sequence::common(samples.first().map_or(1, |s| s.exits.len()));
    let goal = Goal { risk: args.risk.into(), epsilon: args.epsilon, delta: args.delta };
    let ledger = Ledger::new(&samples, &sequence, goal.risk)?;
    let mut order: Vec<usize> = (0..samples.len()).collect();
    Rng::new(args.seed).shuffle(&mut order);
    let (certifies, tests) = order.split_at(calibration);
    let step = ledger.certify(certifies.iter().copied(), &goal);
    let Some(step) = step else {
        let failure = format!("{calibration} pictures certify nothing");
        return Err(Failure::not_met(failure).hint(format!(
            "{} without a single loss would: more pictures, a larger --epsilon or --delta",
            goal.fewest()
        )));
    };
    let thresholds = sequence.configurations()[step].clone();
    let (losses, n) = ledger.losses(certifies.iter().copied());
    let found = Measured::of(certifies.iter().map(|&i| &samples[i]), &thresholds);
    let certificate = Certificate {
        version: VERSION,
        edge,
        cloud,
        score: args.score.into(),
        distribution,
        same_input,
        goal,
        samples: calibration,
        measured: goal.risk.of(&losses[step], n),
        saved: found.saved(),
        audit: audit(args, &goal, &found),
        thresholds,
    };
    let resplits =
        (args.resplits > 0).then(|| ledger.resplit(args.resplits, calibration, &goal, args.seed));
    if let Some(out) = &args.out {
        files::write(out, certificate.to_json().as_bytes())?;
    }
    let output = Output {
        data: &args.data.source,
        note: note.as_deref(),
        test: test(tests.iter().map(|&i| &samples[i]), &certificate.thresholds),
        alarm_after: alarms(&certificate, &found),
        certificate: &certificate,
        resplits: resplits.as_ref(),
        written: args.out.as_deref(),
    };
    match global.json {
        true => files::print_json(&output)?,
        false => print(&output, mean_saved(&samples, &sequence, resplits.as_ref())),
    }
    refuted(resplits.as_ref())
}

/// What both models say of the pictures.
struct Heard {
    samples: Vec<Sample>,
    /// Digests of both models.
    digests: [String; 2],
    /// Whether the edge's outputs are probabilities.
    distribution: bool,
    /// Whether both make the same input of a picture.
    same_input: bool,
    /// What must be said of the data.
    note: Option<String>,
}

fn listen(args: &Args, global: &Global) -> Result<Heard> {
    let trained = trained_here(&args.edge)? || trained_here(&args.cloud)?;
    let (set, note) = args.data.open(trained)?;
    let own = &args.preprocessing;
    let theirs = args.cloud_preprocess.as_deref().map_or_else(|| own.clone(), Preprocessing::named);
    let answers = |path, preprocessing, name| -> Result<Answers> {
        Voice { path, preprocessing }.answers(global, name, &set, args.score.into())
    };
    let edge = answers(&args.edge, own.clone(), "edge")?;
    let cloud = answers(&args.cloud, theirs, "cloud")?;
    let digests = [hex(&edge.digest), hex(&cloud.digest)];
    let (distribution, same_input) = (edge.distribution, edge.preprocess == cloud.preprocess);
    Ok(Heard { samples: samples(edge, &cloud), digests, distribution, same_input, note })
}

/// Where an alarm begins: at epsilon, which the risk cannot exceed unless the disagreement does; or, where
/// gains outweigh losses and models differ more than that, above what they do now.
fn audit(args: &Args, goal: &Goal, found: &Measured) -> Audit {
    let [n, differ] = [found.samples, found.samples - found.agree].map(|n| n as u64);
    let usual = match goal.risk {
        Risk::Gap => upper_bound(differ, n, AUDIT_BOUND),
        Risk::Disagreement => 0.0,
    };
    // All of them different would be no limit.
    let limit = goal.epsilon.max(usual).min(0.999);
    Audit { share: args.audit, seed: args.seed, limit, alpha: args.alpha }
}

fn alarms(certificate: &Certificate, found: &Measured) -> [Option<u64>; 2] {
    let audit = &certificate.audit;
    let usual = (found.samples - found.agree) as f64 / found.samples.max(1) as f64;
    let [steady, most] = STEADY;
    [2.0, 5.0].map(|times| {
        let changed = (times * audit.limit).min(1.0);
        drift::delay(audit, [usual.min(audit.limit), changed], steady, most, RUNS)
    })
}

fn test<'a>(samples: impl Iterator<Item = &'a Sample>, thresholds: &[f64]) -> Test {
    let found = Measured::of(samples, thresholds);
    let [edge, cascade, cloud] = found.right.map(|count| Share::of(count, found.labelled));
    Test {
        edge,
        cascade,
        cloud,
        gap: found.gap(),
        agree: Share::of(found.agree, found.samples),
        saved: Share::of(found.samples - found.escalated, found.samples),
        exits: found.exits,
    }
}

/// Share of calls that re-splits save on average.
fn mean_saved(samples: &[Sample], sequence: &Sequence, resplits: Option<&Resplits>) -> Option<f64> {
    let resplits = resplits?;
    let steps = resplits.steps.iter().zip(sequence.configurations());
    let saved = steps
        .filter(|(count, _)| **count > 0)
        .map(|(count, thresholds)| *count as f64 * Measured::of(samples, thresholds).saved());
    Some(saved.sum::<f64>() / resplits.splits.max(1) as f64)
}

fn refuted(resplits: Option<&Resplits>) -> Result<()> {
    let Some(on_all) = resplits.map(|r| r.on_all).filter(|v| v.p_value < REFUTED) else {
        return Ok(());
    };
    let rate = term::percent(100.0 * on_all.rate);
    Err(Failure::not_met(format!("the guarantee fails in {rate} of the splits: more than delta"))
        .hint("are the pictures independent of each other? copies are not"))
}

fn print(output: &Output, mean_saved: Option<f64>) {
    let (certificate, test) = (output.certificate, &output.test);
    let interval = |s: &Share| format!("{:.2} to {:.2}", s.low, s.high);
    let row = |name: &str, right: &Share, calls: f64| {
        vec![name.into(), term::percent(right.percent), interval(right), term::percent(calls)]
    };
    let asked = 100.0 - test.saved.percent;
    let rows = [
        row("edge alone", &test.edge, 0.0),
        row("cascade", &test.cascade, asked),
        row("cloud alone", &test.cloud, 100.0),
    ];
    let header = ["", "top-1", "95 % interval", "cloud calls"];
    files::print(&term::table(&header, &[1, 2, 3], &rows));
    let goal = &certificate.goal;
    let what = match goal.risk {
        Risk::Gap => "accuracy at most",
        Risk::Disagreement => "answers other than the cloud's on at most",
    };
    let below = if goal.risk == Risk::Gap { " points below the cloud's" } else { " % of pictures" };
    let thresholds: Vec<String> =
        certificate.thresholds.iter().map(|t| format!("{t:.4}")).collect();
    files::print(&format!(
        "certified on {} pictures: {what} {}{below}, with probability {}",
        term::count(certificate.samples as u64),
        term::number(100.0 * goal.epsilon),
        term::percent(100.0 * (1.0 - goal.delta)),
    ));
    files::print(&format!(
        "the device answers from a confidence ({}) of {} on; {} of cloud calls saved, {:+.2} points, on {} \
         other pictures",
        format!("{:?}", certificate.score).to_lowercase(),
        thresholds.join(", "),
        term::percent(test.saved.percent),
        -100.0 * test.gap,
        term::count(test.saved.total as u64),
    ));
    if test.exits.len() > 1 {
        let exits: Vec<String> = test.exits.iter().map(|n| term::count(*n as u64)).collect();
        files::print(&format!("answered by exits: {}", exits.join(", ")));
    }
    let audit = &certificate.audit;
    let [twice, five] = output.alarm_after.map(|after| match after {
        Some(picked) => term::count((picked as f64 / audit.share) as u64),
        None => "too many".into(),
    });
    files::print(&format!(
        "audit: {} of requests; alarm where answers differ on more than {}; twice that is noticed after \
         some {twice} requests, five times after {five}",
        term::percent(100.0 * audit.share),
        term::percent(100.0 * audit.limit),
    ));
    if let Some(resplits) = output.resplits {
        let fails = |v: &edgecut_collab::certify::Violations| {
            format!("{} ({}, p {:.3})", v.count, term::percent(100.0 * v.rate), v.p_value)
        };
        files::print(&format!(
            "of {} re-splits into {} and {} pictures the risk was above epsilon on the second part in {}, \
             on all pictures in {}; allowed {}; {} of cloud calls saved on average",
            term::count(resplits.splits),
            term::count(resplits.calibration as u64),
            term::count((test.saved.total) as u64),
            fails(&resplits.on_the_rest),
            fails(&resplits.on_all),
            term::percent(100.0 * goal.delta),
            term::percent(100.0 * mean_saved.unwrap_or(0.0)),
        ));
    }
    if let Some(note) = output.note {
        files::print(note);
    }
    if let Some(path) = output.written {
        files::print(&path.display().to_string());
    }
}

impl From<RiskName> for Risk {
    fn from(name: RiskName) -> Risk {
        match name {
            RiskName::Gap => Risk::Gap,
            RiskName::Disagreement => Risk::Disagreement,
        }
    }
}

impl From<ScoreName> for Score {
    fn from(name: ScoreName) -> Score {
        match name {
            ScoreName::Max => Score::Max,
            ScoreName::Margin => Score::Margin,
            ScoreName::Entropy => Score::Entropy,
        }
    }
}
