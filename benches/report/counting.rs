//! A global allocator that counts while counting is enabled.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Costs a load and a branch while counting is disabled, the same for everything that is measured.
pub(crate) struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);

// SAFETY: each call is passed on to the system's allocator as it is.
#[expect(unsafe_code, reason = "there is no other way to be an allocator")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, size(layout));
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, size(layout));
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(1, new_size as i64 - size(layout));
        unsafe { System.realloc(memory, layout, new_size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(0, -size(layout));
        unsafe { System.dealloc(memory, layout) }
    }
}

const fn size(layout: Layout) -> i64 {
    layout.size() as i64
}

#[inline]
fn note(allocations: u64, bytes: i64) {
    if ON.load(Relaxed) {
        ALLOCATIONS.fetch_add(allocations, Relaxed);
        BYTES.fetch_add(bytes, Relaxed);
    }
}

/// How often `work` allocates, and how many more bytes are allocated after it than before: as asked of the allocator.
pub(crate) fn count<T>(work: impl FnOnce() -> T) -> (T, u64, i64) {
    ALLOCATIONS.store(0, Relaxed);
    BYTES.store(0, Relaxed);
    ON.store(true, Relaxed);
    let made = work();
    ON.store(false, Relaxed);
    (made, ALLOCATIONS.load(Relaxed), BYTES.load(Relaxed))
}
