//! Data that workers need: settings of the search, shared weights.

use std::time::{Duration, Instant};

use async_nats::jetstream::object_store::{Config, InfoErrorKind, ObjectStore};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use edgecut_search::Result;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::connection::{ANSWER, Connection};
use crate::failure::{Answer, Failure};
use crate::names::Names;
use crate::server::causes;

/// Largest object that is put or read.
const MAX_BYTES: usize = 4 << 30;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 18;

/// A pause between looks for something that is not there yet.
const LOOK: Duration = Duration::from_millis(500);

/// Puts data of a search on the server under `name`, instead of what was there; its SHA-256 in
/// hexadecimal digits. What is there already is not sent again.
///
/// # Errors
/// Where the server does not take it or does not answer.
pub fn put(connection: &Connection, search: &str, name: &str, bytes: &[u8]) -> Result<String> {
    let names = Names::new(search)?;
    if bytes.len() > MAX_BYTES {
        return Err(connection.error(format!("{name} is larger than 4 GiB")));
    }
    let digest = Sha256::digest(bytes);
    // As object stores write it.
    let spelled = format!("SHA-256={}", URL_SAFE.encode(digest));
    connection.patiently(|| async {
        let store = make_store(connection, &names).await?;
        let there = store.info(name).await.ok().filter(|info| !info.deleted);
        if there.is_some_and(|info| info.digest.as_ref() == Some(&spelled)) {
            return Ok(());
        }
        let put = store.put(name, &mut &*bytes).await;
        put.map(drop).map_err(|e| Failure::Passing(causes(&e)))
    })?;
    Ok(hex(&digest))
}

/// Data of a search; `None` where there is none of that name. It is compared with the SHA-256 that it was
/// put with, and with `digest`, where that is given.
///
/// # Errors
/// Where it is not what was asked for, or the server does not answer.
pub fn get(
    connection: &Connection,
    search: &str,
    name: &str,
    digest: Option<&str>,
) -> Result<Option<Vec<u8>>> {
    let names = Names::new(search)?;
    let found = connection.patiently(|| async {
        match connection.context.get_object_store(names.data()).await {
            Ok(store) => fetch(&store, name).await,
            Err(_) => match connection.api::<serde_json::Value>("INFO", &()).await {
                // The server is there, the bucket is not.
                Ok(_) => Ok(None),
                Err(failure) => Err(failure),
            },
        }
    })?;
    match (found, digest) {
        (Some(bytes), Some(digest)) if hex(&Sha256::digest(&bytes)) != digest => Err(connection
            .error(format!(
                "{name} of search {search} is not what its coordinator has put there; start the \
                 coordinator again"
            ))),
        (found, _) => Ok(found),
    }
}

/// As [`get`], for workers that may have started before the coordinator: waits for the data for as long as
/// `patience`.
///
/// # Errors
/// As [`get`], and where the data does not come.
pub fn wait_for(
    connection: &Connection,
    search: &str,
    name: &str,
    digest: Option<&str>,
    patience: Duration,
) -> Result<Vec<u8>> {
    let begun = Instant::now();
    loop {
        if let Some(bytes) = get(connection, search, name, digest)? {
            return Ok(bytes);
        }
        if begun.elapsed() >= patience {
            return Err(connection.error(format!(
                "no search {search} has put {name} here for {} s; start its coordinator, or check the \
                 name",
                patience.as_secs()
            )));
        }
        std::thread::sleep(LOOK.min(patience));
    }
}

async fn make_store(connection: &Connection, names: &Names) -> Answer<ObjectStore> {
    if let Ok(store) = connection.context.get_object_store(names.data()).await {
        return Ok(store);
    }
    let replicas = connection.server.replicas;
    let config = Config { bucket: names.data(), num_replicas: replicas, ..Config::default() };
    let made = connection.context.create_object_store(config).await;
    made.map_err(|e| Failure::Passing(causes(&e)))
}

/// Reads an object in pieces, each of which must come in time.
async fn fetch(store: &ObjectStore, name: &str) -> Answer<Option<Vec<u8>>> {
    let late = || Failure::Passing(format!("no more of {name} came"));
    let info = match store.info(name).await {
        Ok(info) => info,
        Err(e) if e.kind() == InfoErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::Passing(causes(&e))),
    };
    if info.size > MAX_BYTES {
        return Err(Failure::Final(format!("{name} is larger than 4 GiB")));
    }
    let object = tokio::time::timeout(ANSWER, store.get(name)).await.map_err(|_| late())?;
    let mut object = object.map_err(|e| Failure::Passing(causes(&e)))?;
    let mut bytes = vec![];
    loop {
        let room = bytes.len() + PIECE;
        bytes.reserve(PIECE);
        let mut piece = (&mut object).take((room - bytes.len()) as u64);
        let read = tokio::time::timeout(ANSWER, piece.read_buf(&mut bytes)).await;
        // The object compares itself with its digest when it ends.
        match read.map_err(|_| late())?.map_err(|e| Failure::Passing(causes(&e)))? {
            0 => return Ok(Some(bytes)),
            _ if bytes.len() > info.size => {
                return Err(Failure::Passing(format!("{name} was changed while it was read")));
            }
            _ => {}
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
