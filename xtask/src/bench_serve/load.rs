//! Closed and open loops of requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgecut_oip::grpc::{InferenceClient, ModelInferRequest};
use tokio::task::JoinSet;
use tonic::Request;

use super::servers::Server;

/// What a loop has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Seconds that it took.
    pub seconds: f64,
    /// Times of requests that were answered, in milliseconds, ascending.
    pub answered: Vec<f64>,
    /// Times until others were refused, in milliseconds, ascending.
    pub failed: Vec<f64>,
    /// Requests that had no word by their deadline, and were given up.
    pub silent: usize,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Answered,
    Refused,
    Silent,
}

impl End {
    fn of<T>(answer: Result<T, tonic::Status>) -> End {
        if answer.is_ok() { End::Answered } else { End::Refused }
    }
}

impl Seen {
    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.answered.len() as f64 / self.seconds
    }

    /// The time that the share `q` of the answers stays below.
    pub fn quantile(&self, q: f64) -> f64 {
        let place = (q * self.answered.len() as f64).ceil() as usize;
        self.answered.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    fn of(began: Instant, mut all: Vec<(f64, End)>) -> Seen {
        let seconds = began.elapsed().as_secs_f64();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let part = |end| all.iter().filter(|(_, e)| *e == end).map(|(ms, _)| *ms).collect();
        let silent = all.iter().filter(|(_, end)| *end == End::Silent).count();
        Seen { seconds, answered: part(End::Answered), failed: part(End::Refused), silent }
    }
}

/// `connections` clients that ask again as soon as they are answered, for `time`.
pub async fn closed(
    server: &Server,
    ask: &ModelInferRequest,
    connections: usize,
    time: Duration,
) -> Result<Seen, String> {
    let mut clients = JoinSet::new();
    let mut connected = Vec::new();
    for _ in 0..connections {
        connected.push(server.connect().await?);
    }
    let began = Instant::now();
    for client in connected {
        clients.spawn(asking(client, ask.clone(), began + time));
    }
    let mut all = Vec::new();
    while let Some(times) = clients.join_next().await {
        all.extend(times.map_err(|e| e.to_string())?);
    }
    Ok(Seen::of(began, all))
}

async fn asking(
    mut client: InferenceClient,
    ask: ModelInferRequest,
    end: Instant,
) -> Vec<(f64, End)> {
    let mut times = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        let end = End::of(client.model_infer(ask.clone()).await);
        times.push((began.elapsed().as_secs_f64() * 1e3, end));
    }
    times
}

/// Requests at even times, `rate` a second for `time`, over a few connections; each is given up at
/// its deadline.
pub async fn open(
    server: &Server,
    ask: &ModelInferRequest,
    rate: f64,
    time: Duration,
    deadline: Duration,
) -> Result<Seen, String> {
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(server.connect().await?);
    }
    let ask = Arc::new(ask.clone());
    let (mut asked, mut all) = (JoinSet::new(), Vec::new());
    let began = Instant::now();
    for number in 0.. {
        // Late senders catch up: the rate is what is promised.
        let due = began + Duration::from_secs_f64(number as f64 / rate);
        if due >= began + time {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let (mut client, ask) = (clients[number % clients.len()].clone(), Arc::clone(&ask));
        asked.spawn(async move {
            let mut request = Request::new(ask.as_ref().clone());
            request.set_timeout(deadline);
            let began = Instant::now();
            let answer = tokio::time::timeout(deadline, client.model_infer(request)).await;
            let (took, end) = (began.elapsed(), answer.map_or(End::Silent, End::of));
            // The client's own timer says the same as a status.
            let end = if took >= deadline { End::Silent } else { end };
            (took.as_secs_f64() * 1e3, end)
        });
    }
    while let Some(time) = asked.join_next().await {
        all.push(time.map_err(|e| e.to_string())?);
    }
    Ok(Seen { seconds: time.as_secs_f64(), ..Seen::of(began, all) })
}
