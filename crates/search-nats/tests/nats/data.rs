//! Data of a search on the server.

use std::time::Duration;

use crate::common::address;
use edgecut_search_nats::{get, put, remove, wait_for};
use edgecut_testkit::NatsServer;

#[test]
fn what_is_put_is_what_is_read() {
    let Some(server) = NatsServer::start("") else { return };
    let connection = address(&server).connect().unwrap();
    assert!(get(&connection, "s", "weights", None).unwrap().is_none());
    for size in [0, 1, 131_072, 5_000_001] {
        let bytes: Vec<u8> =
            (0..size).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let digest = put(&connection, "s", "weights", &bytes).unwrap();
        assert_eq!(put(&connection, "s", "weights", &bytes).unwrap(), digest, "sent once");
        let read = get(&connection, "s", "weights", Some(&digest)).unwrap();
        assert!(read.as_deref() == Some(&bytes), "{size}");
        let error = get(&connection, "s", "weights", Some("00")).unwrap_err().to_string();
        assert!(error.contains("weights of search s is not what"), "{error}");
    }
    assert!(get(&connection, "s", "settings", None).unwrap().is_none());
    assert!(get(&connection, "other", "weights", None).unwrap().is_none());
    remove(&connection, "s").unwrap();
    assert!(get(&connection, "s", "weights", None).unwrap().is_none());
}

#[test]
fn a_worker_waits_for_data_within_bounds() {
    let Some(server) = NatsServer::start("") else { return };
    let connection = address(&server).connect().unwrap();
    let error = wait_for(&connection, "s", "settings", None, Duration::from_millis(100));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no search s has put settings here"), "{error}");
    std::thread::scope(|scope| {
        let connection = &connection;
        let read =
            scope.spawn(|| wait_for(connection, "s", "settings", None, Duration::from_secs(30)));
        std::thread::sleep(Duration::from_millis(200));
        put(connection, "s", "settings", b"seed = 1").unwrap();
        assert_eq!(read.join().unwrap().unwrap(), b"seed = 1");
    });
}
