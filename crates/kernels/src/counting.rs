//! An allocator that counts, for tests that some loop allocates nothing.
//!
//! It is here because this is the one crate that may hold unsafe code. A test binary makes it the
//! global allocator and compares [`CountingAllocator::count`] before and after:
//!
//! ```
//! use edgecut_kernels::counting::CountingAllocator;
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator::new();
//!
//! let before = ALLOCATOR.count();
//! drop(std::hint::black_box(vec![1]));
//! assert!(ALLOCATOR.count() > before);
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counting requests of all threads.
#[derive(Debug, Default)]
pub struct CountingAllocator {
    requests: AtomicUsize,
}

impl CountingAllocator {
    /// An allocator that has counted nothing.
    pub const fn new() -> CountingAllocator {
        CountingAllocator { requests: AtomicUsize::new(0) }
    }

    /// Allocations and reallocations so far.
    pub fn count(&self) -> usize {
        self.requests.load(Relaxed)
    }
}

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.requests.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.requests.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}
