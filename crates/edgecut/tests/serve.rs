//! `edgecut serve`: started, asked and stopped as a script would.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{model, refuse, scratch, text};

/// Starts a server; returns it with what it says of itself.
fn start(more: &[&str]) -> (Child, serde_json::Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_edgecut"))
        .args(["serve", "--json", "--quiet", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

fn get(url: &serde_json::Value, path: &str) -> String {
    let address = url.as_str().unwrap().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_says_where_it_is_and_ends_well_when_asked() {
    let named = format!("toy={}", text(model()));
    let (mut child, about) = start(&[&named, "--threads", "1"]);
    assert_eq!(about["models"][0]["name"], "toy");
    assert_eq!(about["models"][0]["digest"].as_str().unwrap().len(), 64);
    let metadata = get(&about["http"], "/v2/models/toy");
    assert!(
        metadata.starts_with("HTTP/1.1 200") && metadata.contains("\"platform\""),
        "{metadata}"
    );
    assert!(get(&about["http"], "/").contains("edgecut serve"));
    assert!(about["grpc"].as_str().unwrap().starts_with("grpc://127.0.0.1:"));
    let asked = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(asked.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_served_ends_with_2() {
    let folder = scratch();
    let broken = folder.join("broken.onnx");
    std::fs::write(&broken, b"no model").unwrap();
    for (args, wanted) in [
        (vec!["serve", "missing.onnx"], "missing.onnx"),
        (vec!["serve", text(&broken)], "broken.onnx"),
        (vec!["serve", text(model()), text(model())], "two models are called"),
        (vec!["serve", text(model()), "--http", "nowhere"], "nowhere: cannot listen"),
        (vec!["serve", text(model()), "--shape", "1x3"], "--shape 1x3"),
        (vec!["serve", text(model()), "--token-file", "missing"], "missing"),
    ] {
        let message = refuse(&args);
        assert!(message.contains(wanted), "{message}");
    }
}
