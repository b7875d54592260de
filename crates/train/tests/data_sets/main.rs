//! Data sets from files to batches: readers, hostile input, fetching, preprocessing, the loader.

mod fetch;
mod files;
mod hostile;
mod jpeg;
mod loader;
mod open;
mod oracle;
mod readers;
mod transform;
