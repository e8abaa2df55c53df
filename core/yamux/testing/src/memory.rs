//! An allocator that counts what lives, on each thread by itself, so that parallel tests do not disturb each other.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes this thread holds, and the most it has held since [`forget_peak`].
    static LIVE: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// Install it with `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

/// Bytes that this thread has allocated and not freed; always 0 where [`Counting`] is not installed.
pub fn live() -> isize {
    LIVE.get().0
}

/// The most that was live at once since [`forget_peak`].
pub fn peak() -> isize {
    LIVE.get().1
}

/// Begins a new measurement of [`peak`].
pub fn forget_peak() {
    LIVE.set((live(), live()));
}

fn count(bytes: isize) {
    // Fails only while the thread ends, when nobody counts any more.
    let _ = LIVE.try_with(|cell| {
        let (live, peak) = cell.get();
        cell.set((live + bytes, peak.max(live + bytes)));
    });
}

// SAFETY: every call goes to the system allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may exist for a moment.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}
