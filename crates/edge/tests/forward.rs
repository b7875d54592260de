//! Samples that servers do not take are in nobody's way, and are not lost.

mod rig;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use edgecut_edge::queue::{DiskQueue, Queue};
use edgecut_edge::{Edge, Keep, Settings};
use edgecut_oip::grpc::{Message, ModelInferRequest};
use edgecut_oip::{InferRequest, InferResponse};
use edgecut_serve::front::{Kind, Refusal};
use rig::stage::{Server, refused, until};

const MOST: u64 = 1 << 20;

/// Stores samples of `net`, or of the model before the slash.
fn store(folder: &Path, ids: &[&str]) {
    let mut queue = DiskQueue::open(folder, MOST).unwrap();
    for id in ids {
        let (model, id) = id.split_once('/').unwrap_or(("net", id));
        let request = InferRequest { model: model.into(), id: id.into(), ..Default::default() };
        assert!(queue.push(&ModelInferRequest::from(request).encode_to_vec()).unwrap());
    }
}

fn play(request: &InferRequest, known: &str) -> Result<InferResponse, Refusal> {
    match request.id.as_str() {
        _ if request.model != "net" => refused(Kind::NotFound),
        "bad" => refused(Kind::Invalid),
        "picky" if known != "second" => refused(Kind::Invalid),
        _ => Ok(InferResponse::default()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_server_refuses_is_set_aside_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (plans, kept) = (folder.path().join("plans"), folder.path().join("kept"));
    rig::write_plans(&plans, 1);
    store(&kept, &["a", "bad", "old/of-another-model", "picky", "b"]);
    let mut queue = DiskQueue::open(&kept, MOST).unwrap();
    assert!(queue.push(b"no message").unwrap());
    drop(queue);
    store(&kept, &["c"]);
    let servers = ["first", "second"].map(|name| Server::start(move |r| play(r, name)));
    let said = Arc::new(Mutex::new(vec![]));
    let ear = Arc::clone(&said);
    let settings = Settings {
        servers: servers.iter().map(Server::url).collect(),
        store: Some(Keep::in_folder(&kept, MOST, 0.0).unwrap()),
        tell: Arc::new(move |line: &str| ear.lock().unwrap().push(line.to_string())),
        ..Settings::default()
    };
    let edge = Edge::start(&plans, settings).unwrap();
    until("nothing waits", || edge.waiting() == 0).await;
    let counts = (edge.metrics.forwarded.get(), edge.metrics.set_aside.get(), edge.aside());
    assert_eq!(counts, (4, 3, 3), "{:?}", said.lock().unwrap());
    let said = said.lock().unwrap().clone();
    for (line, part) in said.iter().zip(["'bad'", "'of-another-model'", "cannot be read"]) {
        assert!(line.contains(part), "{line}");
    }
    assert!(edge.metrics_text().contains("edgecut_edge_store_aside 3"));
    drop(edge);
    // What was set aside can be forwarded by whoever names it, to servers that take it.
    let server = Server::start(|_| Ok(InferResponse::default()));
    // The tasks of the first device end within their pause.
    until("the folder is free", || DiskQueue::open(&kept, MOST).is_ok()).await;
    assert_eq!(DiskQueue::open(&kept, MOST).unwrap().aside(), 3);
    let keep = Keep::in_folder(&kept.join("aside"), MOST, 0.0).unwrap();
    let again = Settings { servers: vec![server.url()], store: Some(keep), ..Settings::default() };
    let edge = Edge::start(&plans, again).unwrap();
    until("the rest is taken", || edge.waiting() == 0).await;
    assert_eq!(server.asked(), ["bad", "of-another-model"]);
    assert_eq!((edge.metrics.forwarded.get(), edge.aside()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_model_is_missing_its_samples_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (plans, kept) = (folder.path().join("plans"), folder.path().join("kept"));
    rig::write_plans(&plans, 1);
    store(&kept, &["a", "b"]);
    let there = Arc::new(AtomicBool::new(false));
    let deployed = Arc::clone(&there);
    let server = Server::start(move |_| match deployed.load(Ordering::SeqCst) {
        true => Ok(InferResponse::default()),
        false => refused(Kind::NotFound),
    });
    let settings = Settings {
        servers: vec![server.url()],
        store: Some(Keep::in_folder(&kept, MOST, 0.0).unwrap()),
        ..Settings::default()
    };
    let edge = Edge::start(&plans, settings).unwrap();
    until("it is asked more than once", || server.asked().len() > 2).await;
    assert_eq!((edge.waiting(), edge.aside()), (2, 0));
    there.store(true, Ordering::SeqCst);
    until("all is taken", || edge.waiting() == 0).await;
    assert_eq!(edge.metrics.forwarded.get(), 2);
}
