//! What the link does, beside what it was set to: messages there, a byte back.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cli::Owned;

use super::network::{BUCKET, Host, Network, on};

const PORT: u16 = 7700;

/// What is set: megabits per second, and milliseconds there and back.
const LINKS: [(u64, u64); 5] = [(1, 100), (5, 40), (20, 20), (50, 20), (50, 0)];

/// Bytes of the messages that are timed.
const SIZES: [usize; 3] = [1, 4_000, 40_000];

/// Messages of each size.
const REPEATS: usize = 15;

/// Ethernet's, IP's and TCP's share: 1448 of 1500 bytes are the message's.
const PAYLOAD: f64 = 1448.0 / 1500.0;

/// How long the other host may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints a table.
pub fn run(network: &Network) -> Result<(), String> {
    let echo = Owned(this(Host::Cloud, "echo")?.spawn().map_err(|e| e.to_string())?);
    network.set_rate(Host::Cloud, 100_000_000)?;
    println!("| link | bytes | expected, ms | least, ms | median, ms |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (megabits, round_trip) in LINKS {
        network.set_rate(Host::Edge, megabits * 1_000_000)?;
        network.set_delay(Duration::from_millis(round_trip), Duration::ZERO);
        let output = this(Host::Edge, "ask")?.stderr(Stdio::inherit()).output();
        let output = output.map_err(|e| e.to_string())?;
        let rows: Vec<Row> = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("the edge measured nothing: {e}"))?;
        for row in rows {
            // What the bucket holds passes at once.
            let waits = (row.bytes as f64 / PAYLOAD - f64::from(BUCKET)).max(0.0);
            let send = waits * 8.0 / (megabits as f64 * 1e3);
            let (expected, link) = (round_trip as f64 + send, format!("{megabits},{round_trip}"));
            let (bytes, least, median) = (row.bytes, row.least_ms, row.median_ms);
            println!("| {link} | {bytes} | {expected:.2} | {least:.2} | {median:.2} |");
        }
    }
    drop(echo);
    Ok(())
}

/// What was measured of messages of one size.
#[derive(Serialize, Deserialize)]
struct Row {
    bytes: usize,
    least_ms: f64,
    median_ms: f64,
}

/// This program's other part, on `host`.
fn this(host: Host, role: &str) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = on(host, &program);
    command.args(["rig-part", role]).stdin(Stdio::null());
    Ok(command)
}

/// What runs on the hosts.
pub fn part(args: &[&str]) -> Result<(), String> {
    match args {
        ["echo"] => echo().map_err(|e| e.to_string()),
        ["ask"] => {
            let rows = ask().map_err(|e| e.to_string())?;
            println!("{}", serde_json::to_string(&rows).map_err(|e| e.to_string())?);
            Ok(())
        }
        ["policies", task] => super::policies::part(task),
        _ => Err("a part of `cargo xtask rig`".into()),
    }
}

/// Answers each message, which its length goes before, with a byte.
fn echo() -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        let (mut length, mut message) = ([0; 4], vec![]);
        while stream.read_exact(&mut length).is_ok() {
            message.resize(u32::from_le_bytes(length).min(1 << 20) as usize, 0);
            stream.read_exact(&mut message)?;
            stream.write_all(&[1])?;
        }
    }
    Ok(())
}

fn ask() -> std::io::Result<Vec<Row>> {
    let began = Instant::now();
    let mut stream = loop {
        match TcpStream::connect((Host::Cloud.address(), PORT)) {
            Ok(stream) => break stream,
            Err(e) if began.elapsed() > PATIENCE => return Err(e),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    stream.set_nodelay(true)?;
    let mut time = |bytes: usize| -> std::io::Result<f64> {
        let mut message = vec![7; bytes + 4];
        message[..4].copy_from_slice(&(bytes as u32).to_le_bytes());
        let began = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut [0])?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    };
    // TCP's window opens over the first ones.
    for _ in 0..3 {
        time(SIZES[SIZES.len() - 1])?;
    }
    let mut rows = vec![];
    for bytes in SIZES {
        let mut times = (0..REPEATS).map(|_| time(bytes)).collect::<std::io::Result<Vec<f64>>>()?;
        times.sort_by(f64::total_cmp);
        rows.push(Row { bytes, least_ms: times[0], median_ms: times[REPEATS / 2] });
    }
    Ok(rows)
}
