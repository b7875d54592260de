//! Files mapped into memory.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file as bytes, read from the disk (or shared with other processes) page by page when they are
/// first used.
///
/// Whoever shortens or rewrites the file while it is mapped pulls the bytes away from under the
/// readers, as with any program's own code. edgecut never does: it writes files under another name
/// and renames them, which leaves the old content to those who mapped it.
pub struct Mapping {
    map: memmap2::Mmap,
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
        Ok(Arc::new(Mapping { map }))
    }

    /// The content of the file.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping").field("bytes", &self.map.len()).finish()
    }
}
