//! Samples that wait on a server.

use crate::common::address;
use edgecut_search_nats::NatsSamples;
use edgecut_testkit::NatsServer;

#[test]
fn samples_come_in_order_and_outlive_connections_and_the_server() {
    let Some(mut server) = NatsServer::start("") else { return };
    let open = |server: &NatsServer| {
        NatsSamples::open(address(server).connect().unwrap(), "door").unwrap()
    };
    let mut samples = open(&server);
    assert_eq!(samples.first().unwrap(), None);
    for record in [&b"first"[..], b"", b"bad", b"last"] {
        samples.push(record).unwrap();
    }
    assert_eq!(samples.seen()[0].0, 4);
    assert_eq!(samples.first().unwrap().as_deref(), Some(&b"first"[..]));
    samples.forget_first().unwrap();
    drop(samples);
    server.restart();
    let mut samples = open(&server);
    assert_eq!(samples.seen().map(|(count, _)| count), [3, 0]);
    assert_eq!(samples.first().unwrap().as_deref(), Some(&b""[..]));
    samples.forget_first().unwrap();
    assert_eq!(samples.first().unwrap().as_deref(), Some(&b"bad"[..]));
    samples.set_aside(b"bad").unwrap();
    assert_eq!(samples.first().unwrap().as_deref(), Some(&b"last"[..]));
    assert_eq!(samples.seen().map(|(count, _)| count), [1, 1]);
    samples.forget_first().unwrap();
    assert_eq!(samples.first().unwrap(), None);
}
