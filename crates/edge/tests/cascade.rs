//! A small model on the device, a large one at a server: who answers, and what a watch on both does.

mod rig;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgecut_collab::certify::{Certificate, Goal, Risk, Score, VERSION};
use edgecut_collab::drift::Audit;
use edgecut_collab::{digest, hex};
use edgecut_edge::plans::whole_file;
use edgecut_edge::request::Mark;
use edgecut_edge::{Answer, Edge, Question, Settings, Small};
use edgecut_graph::{Graph, Tensor, onnx};
use edgecut_oip::{InferRequest, InferResponse, WireTensor};
use edgecut_serve::front::Kind;
use rig::stage::{Server, refused, until};

const CLASSES: usize = 10;

/// The files of a cascade, and its small model.
struct Stand {
    folder: tempfile::TempDir,
    small: Arc<Graph>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Stand {
    fn new() -> Stand {
        let folder = tempfile::tempdir().unwrap();
        rig::write_plans(&folder.path().join("plans"), 1);
        let options = edgecut_zoo::Options { seed: 5, ..Default::default() };
        let small = Arc::new(edgecut_zoo::build("mobilenet-v2-s28", &options).unwrap());
        Stand { folder, small, said: Arc::default() }
    }

    fn plans(&self) -> PathBuf {
        self.folder.path().join("plans")
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("cascade.json")
    }

    /// Certifies answers of at least this confidence; every request is audited.
    fn certify(&self, threshold: f64) -> Certificate {
        let large = onnx::import(&whole_file(&self.plans(), "net")).unwrap();
        let certificate = Certificate {
            version: VERSION,
            edge: hex(&digest(&self.small)),
            cloud: hex(&digest(&large)),
            score: Score::Max,
            distribution: false,
            same_input: true,
            thresholds: vec![threshold],
            goal: Goal { risk: Risk::Gap, epsilon: 0.01, delta: 0.05 },
            samples: 1000,
            measured: 0.0,
            saved: 1.0,
            audit: Audit { share: 1.0, seed: 1, limit: 0.1, alpha: 0.01 },
        };
        std::fs::write(self.certificate(), certificate.to_json()).unwrap();
        certificate
    }

    fn settings(&self, servers: Vec<String>) -> Settings {
        let said = Arc::clone(&self.said);
        let small = Small {
            certificate: self.certificate(),
            model: Arc::clone(&self.small),
            path: "small.onnx".into(),
            audit: None,
        };
        Settings {
            servers,
            small: Some(small),
            deadline: Duration::from_millis(400),
            tell: Arc::new(move |line: &str| said.lock().unwrap().push(line.to_string())),
            ..Settings::default()
        }
    }

    fn start(&self, servers: Vec<String>) -> Arc<Edge> {
        Edge::start(&self.plans(), self.settings(servers)).unwrap()
    }
}

async fn ask(edge: &Arc<Edge>, id: &str) -> Arc<Answer> {
    let shape = edge.inputs()[0].shape.clone();
    let inputs = vec![rig::pictures(&shape).remove(3)];
    edge.ask(Question { id: id.into(), inputs, ..Question::default() }).await.unwrap()
}

/// The large model as the test plays it: class `class`, whatever it is asked.
fn says(class: usize) -> InferResponse {
    let mut values = vec![0f32; CLASSES];
    values[class] = 9.0;
    let output = Tensor::new(vec![1, CLASSES], values).unwrap();
    let outputs = vec![WireTensor::from_tensor(output_name(), &output)];
    InferResponse { outputs, ..InferResponse::default() }
}

fn output_name() -> String {
    let large = edgecut_zoo::build("mobilenet-v2-s28", &edgecut_zoo::Options::default()).unwrap();
    large.value(large.outputs[0]).name.clone()
}

fn class(answer: &Answer) -> usize {
    let values = answer.outputs[0].to_f32();
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_sure_answers_and_else_a_server() {
    let stand = Stand::new();
    stand.certify(0.0);
    let alone = stand.start(vec![]);
    let own = class(&*ask(&alone, "a").await);
    assert_eq!(ask(&alone, "a").await.mark, Mark::Exit);
    let other = (own + 1) % CLASSES;
    // Surer than anybody can be: a server answers, or what the device thinks is no certified answer.
    stand.certify(1.0);
    let server = Server::start(move |_| Ok(says(other)));
    let edge = stand.start(vec![server.url()]);
    let answer = ask(&edge, "b").await;
    assert_eq!((answer.mark, class(&answer)), (Mark::Cloud, other));
    let busy = Server::start(|_| refused(Kind::Busy));
    for servers in [vec![], vec!["http://127.0.0.1:9".into()], vec![busy.url()]] {
        let edge = stand.start(servers);
        let answer = ask(&edge, "c").await;
        assert_eq!((answer.mark, class(&answer)), (Mark::Local, own));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_escalates_everything_until_there_is_another_certificate() {
    let stand = Stand::new();
    stand.certify(0.0);
    let own = class(&*ask(&stand.start(vec![]), "a").await);
    let class_there = Arc::new(AtomicUsize::new(own));
    let played = Arc::clone(&class_there);
    let server = Server::start(move |_: &InferRequest| Ok(says(played.load(Ordering::SeqCst))));
    let edge = stand.start(vec![server.url()]);
    // As long as both agree nothing happens.
    for i in 0..60 {
        assert_eq!(ask(&edge, &format!("same-{i}")).await.mark, Mark::Exit);
    }
    until("all are audited", || server.asked().len() == 60).await;
    assert!(stand.said.lock().unwrap().is_empty());
    class_there.store((own + 1) % CLASSES, Ordering::SeqCst);
    for i in 0.. {
        assert!(i < 1000, "{}", edge.metrics_text());
        if ask(&edge, &format!("changed-{i}")).await.mark == Mark::Cloud {
            break;
        }
    }
    let answer = ask(&edge, "then").await;
    assert_eq!((answer.mark, class(&answer)), (Mark::Cloud, (own + 1) % CLASSES));
    assert!(edge.metrics_text().contains("edgecut_edge_cascade_alarm 1"));
    let said = stand.said.lock().unwrap().clone();
    assert!(said.len() == 1 && said[0].starts_with("drift: "), "{said:?}");
    // A certificate that cannot be used changes nothing.
    std::fs::write(stand.certificate(), "{}").unwrap();
    until("it is told", || stand.said.lock().unwrap().len() == 2).await;
    assert_eq!(ask(&edge, "still").await.mark, Mark::Cloud);
    stand.certify(0.001);
    until("it is in force", || stand.said.lock().unwrap().len() == 3).await;
    assert_eq!(ask(&edge, "again").await.mark, Mark::Exit);
}

#[test]
fn a_certificate_of_other_models_is_refused() {
    let stand = Stand::new();
    let right = stand.certify(0.5);
    let refused = |certificate: &Certificate, settings: Settings| {
        std::fs::write(stand.certificate(), certificate.to_json()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let edge = runtime.block_on(async { Edge::start(&stand.plans(), settings) });
        edge.err().expect("is refused").to_string()
    };
    let other = "0".repeat(64);
    for (name, wrong) in [
        ("edge", Certificate { edge: other.clone(), ..right.clone() }),
        ("cloud", Certificate { cloud: other, ..right.clone() }),
    ] {
        let problem = refused(&wrong, stand.settings(vec![]));
        let says = format!("another {name} model");
        assert!(problem.contains(&says) && problem.contains("cascade.json"), "{problem}");
    }
    let mut narrow = stand.settings(vec![]);
    let options = edgecut_zoo::Options { classes: Some(7), ..Default::default() };
    let model = Arc::new(edgecut_zoo::build("mobilenet-v2-s28", &options).unwrap());
    narrow.small = narrow.small.map(|small| Small { model, ..small });
    let problem = refused(&right, narrow);
    assert!(problem.contains("small.onnx") && problem.contains("the large model's"), "{problem}");
    assert!(Path::new(&stand.certificate()).exists());
}
