//! The candidates as a table and as JSON.

use edgecut_collab::Trace;
use edgecut_collab::partition::{Cost, Decision, Placement, Planner, Vertices};
use edgecut_graph::Graph;
use serde::Serialize;

use crate::term;

/// One candidate. Times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its kind.
    pub placement: Placement,
    /// Names of the tensors that are sent.
    pub sends: Vec<String>,
    /// The device's computation and coding.
    pub device_ms: f64,
    /// Bytes on the uplink.
    pub bytes: u64,
    /// Their time there; on a trace, at its typical rate.
    pub link_ms: f64,
    /// The server's computation and decoding.
    pub server_ms: f64,
    /// Round trip and queue.
    pub fixed_ms: f64,
    /// All of it.
    pub total_ms: f64,
    /// The slowest of device, link and server.
    pub stage_ms: f64,
    /// The device's energy, by models.
    pub millijoules: f64,
    /// The device's memory, by a model.
    pub memory_bytes: u64,
    /// Distance correlation of pictures with what is sent, where it is measured.
    pub dcor: Option<f64>,
    /// Over the trace, where there is one.
    pub replay: Option<Replay>,
    /// Whether this is the plan.
    pub chosen: bool,
}

/// Latencies over a trace, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Replay {
    /// The mean.
    pub mean_ms: f64,
    /// Half of all requests take at most this.
    pub p50_ms: f64,
    /// 95 of 100.
    pub p95_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

impl Replay {
    /// A plan of this cost over `trace`, whose round trips take the place of the cost's.
    pub fn of(trace: &Trace, cost: &Cost, rtt_ns: u64, sends: bool) -> Replay {
        let own = Cost { fixed_ns: cost.fixed_ns.saturating_sub(rtt_ns), ..*cost };
        let latencies = trace.replay(&own, sends);
        let at = |share: f64| {
            let last = latencies.len() - 1;
            ms(latencies[((share * latencies.len() as f64) as usize).min(last)])
        };
        let sum: f64 = latencies.iter().map(|&ns| ms(ns)).sum();
        let mean_ms = sum / latencies.len() as f64;
        Replay { mean_ms, p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99) }
    }
}

impl Row {
    /// A candidate of `planner`.
    pub fn of(
        decision: &Decision,
        planner: &Planner,
        vertices: &Vertices,
        graph: &Graph,
        replay: Option<Replay>,
    ) -> Row {
        let sends = match decision.placement {
            Placement::Picture => vec![],
            _ => names(decision, planner, vertices, graph),
        };
        let cost = &decision.cost;
        Row {
            placement: decision.placement,
            sends,
            device_ms: ms(cost.device_ns),
            bytes: cost.bytes,
            link_ms: ms(cost.link_ns),
            server_ms: ms(cost.server_ns),
            fixed_ms: ms(cost.fixed_ns),
            total_ms: ms(cost.total_ns()),
            stage_ms: ms(cost.stage_ns()),
            millijoules: cost.picojoules as f64 / 1e9,
            memory_bytes: cost.memory_bytes,
            dcor: None,
            replay,
            chosen: false,
        }
    }

    /// What the plan sends, in words.
    pub fn words(&self) -> String {
        match self.placement {
            Placement::Local => "nothing: all on the device".into(),
            Placement::Picture => "the picture as JPEG".into(),
            Placement::Raw => "the input as it is".into(),
            Placement::Split => self.sends.join(" + "),
        }
    }
}

/// Whether another candidate is at least as good in everything that links and objectives weigh; of
/// equal ones the first is not.
fn is_dominated(rows: &[Row], index: usize) -> bool {
    let costs = |row: &Row| [row.device_ms, row.bytes as f64, row.server_ms, row.millijoules];
    let own = costs(&rows[index]);
    rows.iter().enumerate().any(|(at, row)| {
        let other = costs(row);
        let pairs = || own.iter().zip(&other);
        let better = at < index || pairs().any(|(own, other)| other < own);
        at != index && better && pairs().all(|(own, other)| other <= own)
    })
}

/// Names of the tensors that a plan sends.
pub fn names(d: &Decision, planner: &Planner, vertices: &Vertices, graph: &Graph) -> Vec<String> {
    let crossing = planner.problem().crossing(&d.device);
    crossing.map(|tensor| graph.value(vertices.value(tensor)).name.clone()).collect()
}

/// The table, and how many candidates it leaves out because others are at least as good in
/// everything; none where `all` are wanted.
pub fn table(rows: &[Row], all: bool) -> (String, usize) {
    let plain = |row: &Row| row.placement != Placement::Split || row.chosen;
    let shown = rows.iter().enumerate();
    let shown = shown.filter(|(index, row)| all || plain(row) || !is_dominated(rows, *index));
    let shown: Vec<&Row> = shown.map(|(_, row)| row).collect();
    let trace = rows.iter().any(|row| row.replay.is_some());
    let mut header = vec!["", "sends", "device", "bytes", "link", "server", "total"];
    header.extend(if trace { &["mean", "p95"][..] } else { &[] });
    header.extend(["energy", "memory"]);
    header.extend(rows.iter().any(|row| row.dcor.is_some()).then_some("dcor"));
    let numeric: Vec<usize> = (2..header.len()).collect();
    let cells = |row: &&Row| {
        let mut cells = vec![
            if row.chosen { "->" } else { "" }.to_string(),
            row.words(),
            term::milliseconds(row.device_ms),
            term::count(row.bytes),
            term::milliseconds(row.link_ms),
            term::milliseconds(row.server_ms),
            term::milliseconds(row.total_ms),
        ];
        if let Some(replay) = &row.replay {
            cells.extend([replay.mean_ms, replay.p95_ms].map(term::milliseconds));
        }
        cells.push(format!("{:.2} mJ", row.millijoules));
        cells.push(term::bytes(row.memory_bytes));
        cells.extend(row.dcor.map(|dcor| format!("{dcor:.3}")));
        cells
    };
    let cells: Vec<Vec<String>> = shown.iter().map(cells).collect();
    (term::table(&header, &numeric, &cells), rows.len() - shown.len())
}
