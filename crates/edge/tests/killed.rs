//! A process that stores is killed: what it was told is stored is there afterwards, in order.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use edgecut_edge::store::Store;

const FOLDER: &str = "EDGECUT_STORE";

fn record(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(500 + number as usize % 700)
}

/// Only the process that is killed does something here: it stores, and says what it has stored.
#[test]
fn store() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let mut store = Store::open(folder.as_ref(), 1 << 30).unwrap();
    let first = std::env::var("EDGECUT_FIRST").unwrap().parse().unwrap();
    for number in first.. {
        assert!(store.push(&record(number)).unwrap());
        println!("stored {number}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn what_was_stored_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut stored = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store", "--nocapture"])
            .env(FOLDER, folder.path())
            .env("EDGECUT_FIRST", stored.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let number = |line: String| line.split_once("stored ")?.1.trim().parse::<u32>().ok();
        let mut numbers = lines.filter_map(number);
        let last = numbers.by_ref().nth(20 + round * 13).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // It may have said more until then.
        let last = numbers.last().unwrap_or(last);
        let mut store = Store::open(folder.path(), 1 << 30).unwrap();
        // One more may be on the disk than it came to say.
        let waiting = store.waiting() as u32;
        assert!(waiting == last + 1 || waiting == last + 2, "{waiting} records, {last} was said");
        stored = waiting;
        assert_eq!(store.first().unwrap(), Some(record(0)));
    }
    let mut store = Store::open(folder.path(), 1 << 30).unwrap();
    for number in 0..stored {
        assert_eq!(store.first().unwrap(), Some(record(number)));
        store.forget_first(record(number).len()).unwrap();
    }
    assert_eq!(store.first().unwrap(), None);
}
