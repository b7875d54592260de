//! Fetching from a small local server: a file under its own name is whole, or it is not there.

use crate::files::{gzip, noise, put};
use edgecut_train::data::registry::{KnownFile, State, check_folder, fetch_files};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

/// Answers one request per entry of `answers` and returns the address.
fn serve(answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            let _ = stream.write_all(&answer);
        }
    });
    format!("http://{address}/file.gz")
}

fn answer(status: &str, declared: usize, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {declared}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn known(url: String, content: &[u8]) -> KnownFile {
    let sha = Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect::<String>();
    KnownFile {
        name: "file.gz".into(),
        url: Some(url.into()),
        download_bytes: content.len() as u64,
        content_bytes: content.len() as u64,
        sha256: sha.into(),
    }
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Compressible, so that the gzipped body is smaller than the content.
fn content() -> Vec<u8> {
    noise(500, 3).repeat(400)
}

#[test]
fn a_good_file_arrives_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new/set");
    let body = gzip(&content());
    let file = known(serve(vec![answer("200 OK", body.len(), &body)]), &content());
    let mut seen = Vec::new();
    fetch_files(std::slice::from_ref(&file), &folder, &mut |p| seen.push((p.done, p.total)))
        .unwrap();
    assert_eq!(std::fs::read(folder.join("file.gz")).unwrap(), body);
    assert_eq!(seen.last(), Some(&(body.len() as u64, body.len() as u64)));
    assert_eq!(names(&folder), ["file.gz"]);
    // The server answers no second request: an intact file is not fetched again.
    fetch_files(std::slice::from_ref(&file), &folder, &mut |_| panic!("nothing to fetch")).unwrap();
    assert_eq!(check_folder(&[file], &folder)[0].state, State::Intact);
}

#[test]
fn a_broken_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "file.gz", b"half a download");
    let body = gzip(&content());
    let file = known(serve(vec![answer("200 OK", body.len(), &body)]), &content());
    fetch_files(&[file], dir.path(), &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(dir.path().join("file.gz")).unwrap(), body);
}

#[test]
fn nothing_is_left_of_a_failure() {
    let body = gzip(&content());
    let wrong = gzip(&noise(1000, 9));
    let huge = vec![0; content().len() + 10];
    let cases = [
        ("wrong content", answer("200 OK", wrong.len(), &wrong), "SHA-256"),
        ("cut off", answer("200 OK", body.len(), &body[..body.len() / 2]), "broke off"),
        (
            "cut off without a length",
            [b"HTTP/1.0 200 OK\r\n\r\n", &body[..body.len() / 2]].concat(),
            "broken",
        ),
        ("not found", answer("404 Not Found", 2, b"no"), "404"),
        ("too large", answer("200 OK", huge.len(), &huge), "at most"),
        (
            "too large without a length",
            [b"HTTP/1.0 200 OK\r\n\r\n", &huge[..]].concat(),
            "expected",
        ),
        ("not HTTP", b"hello\r\n\r\n".to_vec(), "cannot fetch"),
    ];
    for (name, reply, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let file = known(serve(vec![reply]), &content());
        let error = fetch_files(&[file], dir.path(), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(names(dir.path()).is_empty(), "{name}: {:?}", names(dir.path()));
    }
}

#[test]
fn a_failure_keeps_the_other_files() {
    let dir = tempfile::tempdir().unwrap();
    let body = gzip(&content());
    let good = known(serve(vec![answer("200 OK", body.len(), &body)]), &content());
    let bad = KnownFile {
        name: "other.gz".into(),
        ..known(serve(vec![answer("404 Not Found", 0, b"")]), b"x")
    };
    assert!(fetch_files(&[good, bad], dir.path(), &mut |_| {}).is_err());
    assert_eq!(names(dir.path()), ["file.gz"]);
}
