//! Samples that wait on a server until somebody takes them.

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{RetentionPolicy, State};
use edgecut_search::Result;
use serde::Deserialize;
use serde_json::json;

use crate::connection::Connection;
use crate::names::Names;

/// A queue of records on a server: stream `edgecut_NAME_samples` holds those that wait, and
/// `edgecut_NAME_aside` those that nobody takes. One process at a time takes records of one name; any number
/// stores them.
pub struct NatsSamples {
    connection: Connection,
    names: Names,
    /// Where the oldest record is in its stream.
    first: Option<u64>,
    /// Records and bytes that wait, and that were set aside, when it was last looked.
    seen: [(u64, u64); 2],
}

#[derive(Deserialize)]
struct Deleted {
    success: bool,
}

impl NatsSamples {
    /// Opens, or makes, the queue called `name`.
    ///
    /// # Errors
    /// Where the name cannot be part of a subject, or the server does not answer; says what to do.
    pub fn open(connection: Connection, name: &str) -> Result<NatsSamples> {
        let names = Names::new(name)?;
        for (stream, subject) in
            [(names.samples(), names.sample()), (names.aside(), names.sample_aside())]
        {
            connection.make_stream(stream, subject, RetentionPolicy::Limits)?;
        }
        let mut samples = NatsSamples { connection, names, first: None, seen: [(0, 0); 2] };
        samples.look()?;
        Ok(samples)
    }

    /// Stores a record behind the others.
    ///
    /// # Errors
    /// Where the server does not answer, or has no room.
    pub fn push(&mut self, record: &[u8]) -> Result<()> {
        self.publish(self.names.sample(), record)?;
        self.seen[0].0 += 1;
        self.seen[0].1 += record.len() as u64;
        Ok(())
    }

    /// The oldest record.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub fn first(&mut self) -> Result<Option<Vec<u8>>> {
        let state = self.look()?;
        let stream = self.names.samples();
        // Whoever took others may have left gaps.
        let found = match state.messages {
            0 => None,
            _ => {
                self.connection.next_message(&stream, &self.names.sample(), state.first_sequence)?
            }
        };
        self.first = found.as_ref().map(|message| message.sequence);
        Ok(found.map(|message| message.payload.to_vec()))
    }

    /// Forgets the record that [`NatsSamples::first`] gave.
    ///
    /// # Errors
    /// Where the server does not answer; the record may come again then.
    pub fn forget_first(&mut self) -> Result<()> {
        let Some(sequence) = self.first.take() else { return Ok(()) };
        self.connection.remove_message(&self.names.samples(), sequence)?;
        self.look().map(drop)
    }

    /// Puts `record`, which [`NatsSamples::first`] gave, into the other stream.
    ///
    /// # Errors
    /// As [`NatsSamples::forget_first`].
    pub fn set_aside(&mut self, record: &[u8]) -> Result<()> {
        self.publish(self.names.sample_aside(), record)?;
        self.forget_first()
    }

    /// Records and bytes that wait, and those that were set aside, when the server was last asked.
    pub fn seen(&self) -> [(u64, u64); 2] {
        self.seen
    }

    fn publish(&self, subject: String, record: &[u8]) -> Result<()> {
        let stored = self.connection.patiently(|| {
            let message = PublishMessage::build().payload(record.to_vec().into());
            self.connection.publish(&subject, message)
        });
        stored.map(drop)
    }

    /// What both streams hold; the state of the first one.
    fn look(&mut self) -> Result<State> {
        let mut states = vec![];
        for stream in [self.names.samples(), self.names.aside()] {
            let state = self.connection.stream_state(&stream)?;
            let missing =
                || self.connection.error(format!("stream {stream} was removed: start again"));
            states.push(state.ok_or_else(missing)?);
        }
        self.seen = [0, 1].map(|at| (states[at].messages, states[at].bytes));
        Ok(states.swap_remove(0))
    }
}

impl Connection {
    /// Removes a message, where it is there.
    fn remove_message(&self, stream: &str, sequence: u64) -> Result<()> {
        let subject = format!("STREAM.MSG.DELETE.{stream}");
        let removed = self.patiently(|| async {
            match self.api::<Deleted>(&subject, &json!({ "seq": sequence })).await {
                // Removed before, by a request whose answer was lost.
                Err(failure)
                    if failure.code()
                        == Some(async_nats::jetstream::ErrorCode::SEQUENCE_NOT_FOUND) =>
                {
                    Ok(true)
                }
                deleted => deleted.map(|deleted| deleted.success),
            }
        })?;
        match removed {
            true => Ok(()),
            false => Err(self.error(format!("message {sequence} of {stream} cannot be removed"))),
        }
    }
}
