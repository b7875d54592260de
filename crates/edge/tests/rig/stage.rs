//! A server in this process whose answers the test decides.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use edgecut_oip::{InferRequest, InferResponse, ModelMetadata, ServerMetadata};
use edgecut_serve::front::{Backend, Call, Front, FrontOptions, Kind, Refusal};

type Play = dyn Fn(&InferRequest) -> Result<InferResponse, Refusal> + Send + Sync;

struct Stage {
    play: Box<Play>,
    asked: Mutex<Vec<String>>,
}

/// The server.
pub struct Server {
    stage: Arc<Stage>,
    front: Front,
}

impl Server {
    /// Answers as `play` says; within a runtime.
    pub fn start(
        play: impl Fn(&InferRequest) -> Result<InferResponse, Refusal> + Send + Sync + 'static,
    ) -> Server {
        let stage = Arc::new(Stage { play: Box::new(play), asked: Mutex::default() });
        let options = FrontOptions { grpc: Some("127.0.0.1:0".into()), ..FrontOptions::default() };
        let front = Front::start(Arc::clone(&stage), &options).expect("listens");
        Server { stage, front }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.front.grpc().expect("listens"))
    }

    /// Ids of the requests that came, in order.
    pub fn asked(&self) -> Vec<String> {
        self.stage.asked.lock().expect("is whole").clone()
    }
}

/// Waits until `done`, and fails with `what` where that takes too long.
pub async fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A refusal of this kind.
pub fn refused(kind: Kind) -> Result<InferResponse, Refusal> {
    Err(Refusal::new(kind, "not this one"))
}

impl Backend for Stage {
    fn ready(&self) -> bool {
        true
    }

    fn about(&self) -> ServerMetadata {
        ServerMetadata::default()
    }

    fn model(&self, _: &str, _: &str) -> Result<ModelMetadata, Refusal> {
        Err(Refusal::new(Kind::NotFound, "nobody asks"))
    }

    async fn infer(&self, request: InferRequest, _: Call) -> Result<InferResponse, Refusal> {
        self.asked.lock().expect("is whole").push(request.id.clone());
        (self.play)(&request)
    }
}
