//! The journal in a stream: what the file's tests hold, and that only one coordinator writes.

use std::ops::ControlFlow;

use crate::common::{BUDGET, address, alone, header, nsga2, search, toy};
use async_nats::jetstream;
use edgecut_search::{Header, Journal, Outcome, Record, Threads};
use edgecut_search_nats::{Connection, NatsJournal, remove};
use edgecut_testkit::NatsServer;

/// Does something to the server that this crate does not.
fn tamper<F: Future<Output = ()>>(server: &NatsServer, with: impl FnOnce(jetstream::Context) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        with(jetstream::new(async_nats::connect(server.url()).await.unwrap())).await;
    });
}

fn records(connection: &Connection, name: &str) -> Vec<Record> {
    NatsJournal::inspect(connection, name).unwrap().unwrap().1
}

#[test]
fn cut_off_at_any_record_a_search_ends_with_the_same_history() {
    let Some(server) = NatsServer::start("") else { return };
    let connection = address(&server).connect().unwrap();
    let (toy, algorithm) = (toy(), nsga2());
    let search = search(&toy, algorithm.as_ref());
    let run = |name: &str| {
        let mut journal = NatsJournal::open(&connection, name, &search.header()).unwrap();
        let mut threads = Threads { problem: &toy, count: 1 };
        let mut watch = |_: edgecut_search::Event| ControlFlow::Continue(());
        search.run(BUDGET, &mut journal, &mut threads, &mut watch).unwrap().0
    };
    let local = alone(&toy);
    assert_eq!(run("whole"), local);
    let whole = records(&connection, "whole");
    assert!(whole.len() > 40, "{}", whole.len());
    for cut in 0..=whole.len() {
        let name = format!("cut-{cut}");
        let mut journal = NatsJournal::open(&connection, &name, &search.header()).unwrap();
        whole[..cut].iter().for_each(|record| journal.append(record).unwrap());
        drop(journal);
        assert_eq!(run(&name), local, "{cut}");
        assert_eq!(records(&connection, &name), whole, "{cut}");
        remove(&connection, &name).unwrap();
        assert!(NatsJournal::inspect(&connection, &name).unwrap().is_none());
    }
}

#[test]
fn while_a_coordinator_lives_a_second_one_is_refused() {
    let Some(server) = NatsServer::start("") else { return };
    let (first, second) =
        (address(&server).connect().unwrap(), address(&server).connect().unwrap());
    let header = header(&toy());
    let journal = NatsJournal::open(&first, "one", &header).unwrap();
    let error = NatsJournal::open(&second, "one", &header).err().unwrap().to_string();
    let process = format!("process {}", std::process::id());
    assert!(error.contains("another coordinator") && error.contains(&process), "{error}");
    let error = remove(&second, "one").unwrap_err().to_string();
    assert!(error.contains("another coordinator"), "{error}");
    NatsJournal::open(&second, "other", &header).unwrap();
    drop(journal);
    NatsJournal::open(&second, "one", &header).unwrap();
}

#[test]
fn one_that_was_replaced_writes_nothing_more() {
    let Some(server) = NatsServer::start("") else { return };
    let connection = address(&server).connect().unwrap();
    let mut journal = NatsJournal::open(&connection, "s", &header(&toy())).unwrap();
    let result = |trial| Record::Result { trial, outcome: Outcome::Failed("no".into()) };
    journal.append(&result(0)).unwrap();
    // What a coordinator leaves that took this one for dead.
    tamper(&server, |context| async move {
        let claim = r#"{"who":"elsewhere, process 7","version":"0","over":false}"#;
        context.publish("edgecut.s.journal.claim", claim.into()).await.unwrap().await.unwrap();
    });
    for _ in 0..2 {
        let error = journal.append(&result(1)).unwrap_err().to_string();
        assert!(error.contains("another coordinator (elsewhere, process 7)"), "{error}");
    }
    assert_eq!(records(&connection, "s"), [result(0)]);
}

#[test]
fn a_journal_of_something_else_or_damaged_is_refused_and_left_alone() {
    let Some(server) = NatsServer::start("") else { return };
    let connection = address(&server).connect().unwrap();
    let header = header(&toy());
    let refuse = |name: &str, header: &Header, says: &str| {
        let error = NatsJournal::open(&connection, name, header).err().unwrap().to_string();
        assert!(error.contains(says) && error.starts_with(&server.url()), "{error}");
    };
    let begin = |name: &str| drop(NatsJournal::open(&connection, name, &header).unwrap());
    begin("seed");
    refuse("seed", &Header { seed: 12, ..header.clone() }, "was begun with seed 11, and not 12");
    refuse("seed", &Header { space: "x".into(), ..header.clone() }, "another space");

    begin("damaged");
    tamper(&server, |context| async move {
        let line = "00000000 {\"result\":{}}\n";
        context
            .publish("edgecut.damaged.journal.record", line.into())
            .await
            .unwrap()
            .await
            .unwrap();
    });
    refuse("damaged", &header, "message 3 of stream edgecut_damaged_journal does not match");

    begin("holes");
    tamper(&server, |context| async move {
        let stream = context.get_stream("edgecut_holes_journal").await.unwrap();
        stream.delete_message(1).await.unwrap();
    });
    refuse("holes", &header, "1 messages of stream edgecut_holes_journal were deleted");

    refuse_name(&connection, &header);
    assert_eq!(records(&connection, "seed"), []);
}

fn refuse_name(connection: &Connection, header: &Header) {
    let error = NatsJournal::open(connection, "a.b", header).err().unwrap().to_string();
    assert!(error.contains("'a.b' is no name"), "{error}");
}

#[test]
fn a_server_that_is_killed_in_between_loses_nothing() {
    let Some(mut server) = NatsServer::start("") else { return };
    let connection = address(&server).connect().unwrap();
    let mut journal = NatsJournal::open(&connection, "s", &header(&toy())).unwrap();
    let result = |trial| Record::Result { trial, outcome: Outcome::Objectives(vec![0.1, 0.2]) };
    for trial in 0..30 {
        if trial % 10 == 5 {
            server.kill();
        }
        std::thread::scope(|scope| {
            if trial % 10 == 5 {
                scope.spawn(|| server.restart());
            }
            journal.append(&result(trial)).unwrap();
        });
    }
    assert_eq!(records(&connection, "s"), (0..30).map(result).collect::<Vec<_>>());
}
