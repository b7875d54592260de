//! Servers that are not there, not as expected, or do not let us in: errors that say what to do.

use std::time::{Duration, Instant};

use crate::common::{alone, coordinate, go_on, header, toy, worker};
use edgecut_search::{Journal, Outcome, Record};
use edgecut_search_nats::{NatsJournal, Server, put, wait_for};
use edgecut_testkit::NatsServer;

fn quick(url: &str) -> Server {
    Server { first_wait: Duration::from_millis(300), ..Server::new(url) }
}

fn refused(server: &Server) -> String {
    server.connect().err().expect("a refusal").to_string()
}

#[test]
fn where_no_server_answers() {
    let begun = Instant::now();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refused(&quick(&format!("nats://me:secret@127.0.0.1:{port}")));
    assert!(error.contains("no server answers") && error.contains("nats-server --jetstream"));
    assert!(error.starts_with(&format!("nats://127.0.0.1:{port}: ")), "{error}");
    let error = refused(&quick("nats://no-such-host.invalid"));
    assert!(error.contains("check the host's name"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_server_without_jetstream() {
    let Some(server) = NatsServer::start("# no jetstream") else { return };
    let error = refused(&quick(&server.url()));
    assert!(error.contains("JetStream") && error.contains("--jetstream"), "{error}");
}

#[test]
fn users_passwords_and_tokens() {
    let settings = "authorization { user: me, password: \"p@ss\" }";
    let Some(server) = NatsServer::start(settings) else { return };
    let address = server.address();
    quick(&format!("nats://me:p%40ss@{address}")).connect().unwrap();
    for url in [format!("nats://me:wrong@{address}"), format!("nats://{address}")] {
        let error = refused(&quick(&url));
        assert!(error.contains("does not let this user in"), "{error}");
        assert!(error.contains("USER:PASSWORD@") && !error.contains("wrong"), "{error}");
    }
    let Some(server) = NatsServer::start("authorization { token: sesame }") else { return };
    quick(&format!("nats://sesame@{}", server.address())).connect().unwrap();
    assert!(refused(&quick(&server.url())).contains("TOKEN@"));

    let file = Server { credentials: Some("no/such.creds".into()), ..quick(&server.url()) };
    assert!(refused(&file).contains("credentials no/such.creds"));
}

#[test]
fn what_a_user_may_not_do_is_named() {
    let settings = "authorization { users: [ { user: me, password: x, permissions: {
        publish: [\"$JS.API.INFO\", \"edgecut.>\"], subscribe: [\"_INBOX.>\"] } } ] }";
    let Some(server) = NatsServer::start(settings) else { return };
    let connection = quick(&format!("nats://me:x@{}", server.address())).connect().unwrap();
    let error = NatsJournal::open(&connection, "s", &header(&toy())).err().unwrap().to_string();
    assert!(error.contains("Publish to \"$JS.API.STREAM.CREATE.edgecut_s_journal\""), "{error}");
    assert!(error.contains("let this user publish to edgecut.>"), "{error}");
}

#[test]
fn what_the_error_advises_is_enough() {
    let settings = "authorization { users: [ { user: me, password: x, permissions: {
        publish: [\"edgecut.>\", \"$JS.API.>\", \"$JS.ACK.>\", \"$JS.FC.>\", \"$O.>\", \"_INBOX.>\"],
        subscribe: [\"edgecut.>\", \"_INBOX.>\"] } } ] }";
    let Some(server) = NatsServer::start(settings) else { return };
    let connect = || quick(&format!("nats://me:x@{}", server.address())).connect().unwrap();
    let (toy, bytes) = (toy(), vec![7; 1 << 20]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (connection, patience) = (connect(), Duration::from_secs(20));
            let read = wait_for(&connection, "s", "weights", None, patience).unwrap();
            assert!(read == bytes);
            worker(&connection, "s", &toy).work(&mut go_on).unwrap();
        });
        let connection = connect();
        put(&connection, "s", "weights", &bytes).unwrap();
        assert_eq!(coordinate(&connection, "s", &toy), alone(&toy));
    });
    let connection = connect();
    let _journal = NatsJournal::open(&connection, "s", &header(&toy)).unwrap();
    let second = NatsJournal::open(&connect(), "s", &header(&toy)).err().unwrap().to_string();
    assert!(second.contains("another coordinator"), "{second}");
}

#[test]
fn a_certificate_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let settings = format!("tls {{ cert_file: {cert:?}, key_file: {key:?} }}");
    let Some(server) = NatsServer::start(&settings) else { return };
    let url = format!("tls://{}", server.address());
    let trusting = Server { roots: Some(cert), ..quick(&url) };
    let connection = trusting.connect().unwrap();
    NatsJournal::open(&connection, "s", &header(&toy())).unwrap();
    let error = refused(&quick(&url));
    assert!(error.contains("name the file with the certificate"), "{error}");
    let missing = Server { roots: Some("no/such.pem".into()), ..quick(&url) };
    assert!(refused(&missing).contains("no/such.pem: "));
}

#[test]
fn a_server_that_stays_away_is_given_up() {
    let Some(mut server) = NatsServer::start("") else { return };
    let hasty = Server { patience: Duration::from_secs(2), ..quick(&server.url()) };
    let connection = hasty.connect().unwrap();
    let mut journal = NatsJournal::open(&connection, "s", &header(&toy())).unwrap();
    server.kill();
    let begun = Instant::now();
    let record = Record::Result { trial: 0, outcome: Outcome::Failed("no".into()) };
    let error = journal.append(&record).unwrap_err().to_string();
    assert!(error.contains("no answer for") && error.contains("run the same command again"));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
