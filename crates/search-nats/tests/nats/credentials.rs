//! A server that knows accounts only by signed claims, and a user with a credentials file.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgecut_search_nats::{NatsJournal, Server};
use edgecut_testkit::NatsServer;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::common::{header, toy};

/// A claim about `subject`, signed by `issuer` (JWT with Ed25519).
fn claim(issuer: &KeyPair, subject: &KeyPair, nats: Value) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "jti": "x", "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(),
        "name": "test", "nats": nats,
    });
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let text = format!("{}.{}", part(header), part(claims));
    let signature = issuer.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn account(operator: &KeyPair, account: &KeyPair, disk: i64) -> String {
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": 0, "disk_storage": disk, "streams": -1,
        "consumer": -1,
    });
    claim(operator, account, json!({ "type": "account", "version": 2, "limits": limits }))
}

fn credentials(account: &KeyPair) -> String {
    let user = KeyPair::new_user();
    let limits = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    let (jwt, seed) = (claim(account, &user, limits), user.seed().unwrap());
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[test]
fn a_file_lets_in_and_an_account_without_jetstream_is_named() {
    let operator = KeyPair::new_operator();
    let accounts = [1 << 30, 0, 0].map(|disk| (KeyPair::new_account(), disk));
    let preload = |(key, disk): &(KeyPair, i64)| {
        format!("{}: {}\n", key.public_key(), account(&operator, key, *disk))
    };
    let settings = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}}}",
        claim(&operator, &operator, json!({ "type": "operator", "version": 2 })),
        accounts[2].0.public_key(),
        accounts.iter().map(preload).collect::<String>()
    );
    let Some(server) = NatsServer::start(&settings) else { return };
    let folder = tempfile::tempdir().unwrap();
    let of = |account: &KeyPair| {
        let path = folder.path().join(format!("{}.creds", account.public_key()));
        std::fs::write(&path, credentials(account)).unwrap();
        Server { credentials: Some(path), ..Server::new(&server.url()) }
    };
    let connection = of(&accounts[0].0).connect().unwrap();
    NatsJournal::open(&connection, "s", &header(&toy())).unwrap();

    let error = of(&accounts[1].0).connect().err().unwrap().to_string();
    assert!(error.contains("turn JetStream on for this user's account"), "{error}");
    let stranger = of(&KeyPair::new_account()).connect().err().unwrap().to_string();
    assert!(stranger.contains("does not let this user in"), "{stranger}");
    let nobody = Server::new(&server.url()).connect().err().unwrap().to_string();
    assert!(nobody.contains("a credentials file"), "{nobody}");
}
