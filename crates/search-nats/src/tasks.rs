//! What coordinator and workers send each other.

use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use edgecut_search::{Header, Outcome, Proposal, Record, Result, Task};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::connection::{Connection, whoami};
use crate::journal::foreign;
use crate::names::Names;

/// Who has evaluated.
const WORKER: &str = "Edgecut-Worker";

/// Part of the SHA-256 of a search's header: of another search under the same name it differs.
pub(crate) fn digest(header: &Header) -> String {
    let digest = Sha256::digest(Record::Begin(header.clone()).encode());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Serialize, Deserialize)]
struct Order {
    trial: usize,
    proposal: Proposal,
}

/// A task as a message.
pub(crate) fn order(task: &Task) -> PublishMessage {
    let order = Order { trial: task.trial, proposal: task.proposal.clone() };
    let text = serde_json::to_vec(&order).expect("tasks are JSON");
    PublishMessage::build().payload(text.into())
}

/// The task of a message.
pub(crate) fn read_order(connection: &Connection, payload: &[u8]) -> Result<Task> {
    let order: Order = serde_json::from_slice(payload)
        .map_err(|e| foreign(connection, "a task", &format!("has another form: {e}")))?;
    Ok(Task { trial: order.trial, proposal: order.proposal })
}

/// A result as a message: the journal's record.
pub(crate) fn report(trial: usize, outcome: &Outcome) -> PublishMessage {
    let line = Record::Result { trial, outcome: outcome.clone() }.encode();
    PublishMessage::build().payload(line.into()).header(WORKER, whoami())
}

/// The result of a message; `None` where it is of another search.
pub(crate) fn read_report(
    connection: &Connection,
    message: &StreamMessage,
    digest: &str,
) -> Result<Option<(usize, Outcome)>> {
    if !Names::is_of(message.subject.as_str(), digest) {
        return Ok(None);
    }
    match Record::decode(&message.payload) {
        Ok(Record::Result { trial, outcome }) => Ok(Some((trial, outcome))),
        Ok(_) => Err(foreign(connection, "a result", "has another form")),
        Err(problem) => Err(foreign(connection, "a result", &problem)),
    }
}
