//! How much memory a piece of work takes at most: an allocator that counts what each
//! thread has. It counts and does nothing else.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// Bytes that this thread has taken and not given back; below zero when it gave back
    /// what others took.
    static HAS: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn note(bytes: isize) {
    // A thread that ends counts no more.
    let _ = HAS.try_with(|has| {
        has.set(has.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(has.get())));
    });
}

const fn signed(size: usize) -> isize {
    // No allocation is larger than that (`Layout`).
    size.cast_signed()
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(signed(layout.size()));
        // SAFETY: as asked of us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(-signed(layout.size()));
        // SAFETY: as asked of us.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there while it is copied.
        note(signed(size));
        note(-signed(layout.size()));
        // SAFETY: as asked of us.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Does some work; what it brought, and the most bytes it had at one time.
pub fn most_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HAS.get();
    MOST.set(before);
    let done = work();
    (done, usize::try_from(MOST.get() - before).unwrap_or(0))
}
