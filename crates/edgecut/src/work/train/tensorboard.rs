//! TensorBoard's event files: protocol buffers in TensorFlow's record format.
//!
//! A record is the length of its data in 8 bytes, a checksum of them, the data, and a checksum of it
//! (`tensorflow/core/lib/io/record_writer.h`). The messages are `tensorflow.Event` and
//! `tensorflow.Summary`, cut down to what scalars need.

use std::fs::File;
use std::io::{Result, Write};
use std::path::Path;

use prost::Message;

/// When something was measured.
pub struct Moment {
    /// Seconds since 1970.
    pub time: f64,
    /// Steps since the beginning of the training.
    pub step: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// An event file that is being written.
pub struct Events(File);

impl Events {
    /// Begins `events.out.tfevents.edgecut` in `folder` anew.
    pub fn create(folder: &Path) -> Result<Events> {
        // TensorBoard knows event files by the middle of their names.
        let mut events = Events(File::create(folder.join("events.out.tfevents.edgecut"))?);
        let version = Some("brain.Event:2".into());
        events.record(&Event { file_version: version, ..Event::default() })?;
        Ok(events)
    }

    /// Adds one number under the name `tag`.
    pub fn add(&mut self, at: &Moment, tag: &str, value: f64) -> Result<()> {
        let scalar = Scalar { tag: tag.into(), simple_value: Some(value as f32) };
        self.record(&Event {
            wall_time: at.time,
            step: at.step as i64,
            file_version: None,
            summary: Some(Summary { value: vec![scalar] }),
        })
    }

    fn record(&mut self, event: &Event) -> Result<()> {
        let data = event.encode_to_vec();
        let length = (data.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked(crc32c::crc32c(&length)).to_le_bytes());
        record.extend(&data);
        record.extend(masked(crc32c::crc32c(&data)).to_le_bytes());
        self.0.write_all(&record)
    }
}

/// Checksums of data that hold checksums are weak, so TensorFlow turns and moves them.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first record is what TensorBoard's own writer makes of the version.
    #[test]
    fn records_are_framed_as_in_tensorflow() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = Events::create(folder.path()).unwrap();
        events.add(&Moment { time: 1.0, step: 2 }, "loss/train", 0.5).unwrap();
        let bytes = std::fs::read(folder.path().join("events.out.tfevents.edgecut")).unwrap();
        assert_eq!(bytes[..FIRST.len()], FIRST);
        let data = &bytes[FIRST.len() + 12..bytes.len() - 4];
        let event = Event::decode(data).unwrap();
        assert_eq!((event.wall_time, event.step), (1.0, 2));
        assert_eq!(event.summary.unwrap().value[0].simple_value, Some(0.5));
    }

    const FIRST: [u8; 31] = [
        15, 0, 0, 0, 0, 0, 0, 0, 109, 83, 43, 9, 26, 13, 98, 114, 97, 105, 110, 46, 69, 118, 101,
        110, 116, 58, 50, 252, 152, 81, 41,
    ];
}
