//! The journal as a stream on a server.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::RetentionPolicy;
use edgecut_search::{Header, Journal, Record, Result, SearchError};

use crate::claim::{Claim, Presence, in_use};
use crate::connection::Connection;
use crate::names::Names;

/// Longest journal that is read, as for files.
const MAX_BYTES: u64 = 1 << 30;

/// Which coordinator wrote a message.
const WRITER: &str = "Edgecut-Writer";

/// What to do about a journal that does not fit.
const HINT: &str = "give this search another name, or remove the old one to begin anew";

/// A journal in a stream: the lines of the journal's file, one a message, each stored before anything
/// builds on it.
///
/// Every message is added on condition that the stream's last one is the last that this coordinator
/// knows. So of two coordinators only one can write, whatever happened to the network between them; and
/// as the one who begins leaves a claim in the stream, that is the one who began last. While a
/// coordinator is alive a second one is refused before that.
pub struct NatsJournal<'a> {
    connection: &'a Connection,
    names: Names,
    /// Number of the stream's last message.
    last: u64,
    /// Tells this coordinator's messages from others'.
    writer: String,
    records: Vec<Record>,
    _presence: Presence<'a>,
}

impl<'a> NatsJournal<'a> {
    /// The journal of the search called `search` (1 to 64 letters, digits, `-`, `_`) that `header`
    /// describes: a new one where there is none.
    ///
    /// # Errors
    /// Where another process coordinates this search, the journal is of another search, records are
    /// missing or damaged, or the server does not answer: nothing was changed.
    pub fn open(
        connection: &'a Connection,
        search: &str,
        header: &Header,
    ) -> Result<NatsJournal<'a>> {
        let names = Names::new(search)?;
        connection.refuse_a_second(&names)?;
        let subjects = format!("edgecut.{search}.journal.*");
        connection.make_stream(names.journal(), subjects, RetentionPolicy::Limits)?;
        let (last, mut records) = read(connection, &names)?;
        let begin = match records.is_empty() {
            true => Some(Record::Begin(header.clone())),
            false => {
                check(connection, &names, records.remove(0), header)?;
                None
            }
        };
        let presence = Presence::new(connection, &names)?;
        let writer = connection.client.new_inbox();
        let mut journal =
            NatsJournal { connection, names, last, writer, records, _presence: presence };
        if let Some(begin) = begin {
            journal.append(&begin)?;
        }
        journal.say(&Claim::new(false))?;
        Ok(journal)
    }

    /// Tells workers that the search is over, so that they end. A search that goes on with a larger
    /// budget is opened again.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub fn finish(mut self) -> Result<()> {
        self.say(&Claim::new(true))
    }

    /// Header and records of a search, without touching it, also while it is running; `None` where there
    /// is no such search.
    ///
    /// # Errors
    /// Where records are missing or damaged, or the server does not answer.
    pub fn inspect(connection: &Connection, search: &str) -> Result<Option<(Header, Vec<Record>)>> {
        let names = Names::new(search)?;
        let (_, mut records) = read(connection, &names)?;
        if records.is_empty() {
            return Ok(None);
        }
        match records.remove(0) {
            Record::Begin(header) => Ok(Some((header, records))),
            _ => Err(connection.error(format!("{search} is no journal of a search"))),
        }
    }

    fn say(&mut self, claim: &Claim) -> Result<()> {
        let text = serde_json::to_vec(claim).expect("claims are JSON");
        self.store(self.names.claim(), text)
    }

    /// Adds a message, unless somebody else has.
    fn store(&mut self, subject: String, payload: Vec<u8>) -> Result<()> {
        let (connection, last) = (self.connection, self.last);
        let stored = connection.patiently(|| async {
            let message = PublishMessage::build()
                .payload(payload.clone().into())
                .header(WRITER, self.writer.as_str())
                .expected_last_sequence(last);
            match connection.publish(&subject, message).await {
                Err(failure) if failure.code() == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE) => {
                    Ok(None)
                }
                stored => stored.map(Some),
            }
        })?;
        self.last = match stored {
            Some(sequence) => sequence,
            None => self.own(last + 1)?,
        };
        Ok(())
    }

    /// Number `sequence`, if that message is this coordinator's own: it was stored, and what the server
    /// said about it was lost.
    fn own(&self, sequence: u64) -> Result<u64> {
        let connection = self.connection;
        match connection.message(&self.names.journal(), sequence)? {
            Some(message) if is_by(&message, &self.writer) => Ok(sequence),
            Some(_) => {
                let claim = connection.claim(&self.names)?;
                let who = claim.map_or("unknown".into(), |claim| claim.who);
                Err(in_use(connection, &self.names, &who))
            }
            None => Err(connection.error(format!(
                "the server has lost records of search {} that it had acknowledged; start again to go on \
                 from those that it has, and set `sync_interval: always` in its settings, so that a power \
                 cut takes none",
                self.names.search()
            ))),
        }
    }
}

impl Journal for NatsJournal<'_> {
    fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        self.store(self.names.record(), record.encode())
    }
}

/// The header of a search; `None` where it has not begun.
pub(crate) fn header(connection: &Connection, names: &Names) -> Result<Option<Header>> {
    let Some(message) = connection.message(&names.journal(), 1)? else { return Ok(None) };
    match decode(connection, names, &message)? {
        Record::Begin(header) => Ok(Some(header)),
        _ => Err(connection.error(format!("{} is no journal of a search", names.search()))),
    }
}

/// Number of the last message, and all records.
fn read(connection: &Connection, names: &Names) -> Result<(u64, Vec<Record>)> {
    let stream = names.journal();
    let Some(state) = connection.stream_state(&stream)? else { return Ok((0, vec![])) };
    if state.bytes > MAX_BYTES {
        return Err(connection.error(format!("stream {stream} is larger than 1 GiB; {HINT}")));
    }
    let messages = connection.messages(&stream, 1, state.last_sequence)?;
    if messages.len() as u64 != state.last_sequence {
        let missing = state.last_sequence - messages.len() as u64;
        let text = format!("{missing} messages of stream {stream} were deleted; {HINT}");
        return Err(connection.error(text));
    }
    let record = names.record();
    let is_record = |message: &&StreamMessage| message.subject.as_str() == record;
    let records: Result<Vec<Record>> =
        messages.iter().filter(is_record).map(|m| decode(connection, names, m)).collect();
    Ok((state.last_sequence, records?))
}

fn decode(connection: &Connection, names: &Names, message: &StreamMessage) -> Result<Record> {
    Record::decode(&message.payload).map_err(|problem| {
        let (stream, number) = (names.journal(), message.sequence);
        connection.error(format!("message {number} of stream {stream} {problem}; {HINT}"))
    })
}

fn check(connection: &Connection, names: &Names, first: Record, wanted: &Header) -> Result<()> {
    let fail = |text: &str| connection.error(format!("search {} {text}; {HINT}", names.search()));
    match first {
        Record::Begin(found) => match found.difference(wanted) {
            Some(difference) => Err(fail(&difference)),
            None => Ok(()),
        },
        _ => Err(fail("is no journal of a search")),
    }
}

fn is_by(message: &StreamMessage, writer: &str) -> bool {
    message.headers.get(WRITER).is_some_and(|by| by.as_str() == writer)
}

/// Removes a search with all that it has on the server: journal, tasks, results and data.
///
/// # Errors
/// Where it is running, or the server does not answer; says what to do.
pub fn remove(connection: &Connection, search: &str) -> Result<()> {
    let names = Names::new(search)?;
    connection.refuse_a_second(&names)?;
    let bucket = format!("OBJ_{}", names.data());
    // The journal is the last, so that what is left of a removal that was interrupted belongs to it.
    for stream in [names.tasks(), names.results(), bucket, names.journal()] {
        connection.remove_stream(&stream)?;
    }
    Ok(())
}

/// What is wrong with a message that another version has written.
pub(crate) fn foreign(connection: &Connection, what: &str, problem: &str) -> SearchError {
    connection.error(format!(
        "{what} {problem}; coordinator and workers must be of the same version of edgecut"
    ))
}
