//! Files mapped into memory, and memory in place of one.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Blob;

/// A file as bytes, read from the disk (or shared with other processes) page by page when they are
/// first used.
///
/// Whoever shortens or rewrites the file while it is mapped pulls the bytes away from under the
/// readers, as with any program's own code. edgecut never does: it writes files under another name
/// and renames them, which leaves the old content to those who mapped it.
pub struct Mapping {
    content: Content,
}

enum Content {
    File(memmap2::Mmap),
    Memory(Blob<u8>),
}

impl Mapping {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// Where it cannot be opened, is no regular file, or is empty.
    pub fn open(path: &Path) -> io::Result<Arc<Mapping>> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() || meta.len() == 0 {
            let problem = if meta.is_file() { "the file is empty" } else { "not a regular file" };
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        // SAFETY: read-only; that nobody rewrites the file meanwhile is the contract of this type.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Arc::new(Mapping { content: Content::File(map) }))
    }

    /// Bytes that no file holds as they are, such as those of a compressed one.
    pub fn memory(bytes: Blob<u8>) -> Arc<Mapping> {
        Arc::new(Mapping { content: Content::Memory(bytes) })
    }

    /// The content.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::File(map) => map,
            Content::Memory(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping").field("bytes", &self.bytes().len()).finish()
    }
}
