//! Where memory comes from: mimalloc, told to keep what is freed for a while. Batches are made and dropped
//! all the time, each larger than what the system's own allocator keeps, and the first touch of a fresh page
//! costs more than what is done with it. Counts allocations when it is asked to; never decides anything.
//!
//! It is compiled (`.cargo/config.toml`) without areas of 4 MiB for pieces from 64 KiB on: each thread has one
//! per length, a single piece keeps it, and a busy server held 40 MiB more every minute.
use std::{
    alloc::{GlobalAlloc, Layout},
    ffi::c_long,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use mimalloc::MiMalloc;

/// The program's `#[global_allocator]`.
#[derive(Clone, Copy, Debug)]
pub struct Allocator;

static COUNTS: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// `mi_option_purge_delay`: the position in an enumeration of C that the bindings do not carry.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Milliseconds. Long enough for a stream with pauses, short enough
/// that a burst's memory is not held for ever.
const KEPT_FOR: c_long = 10_000;

impl Allocator {
    /// To be said first thing, before there are threads. Freed pages go back to the system after 10 s
    /// instead of 1 s. An environment variable (`MIMALLOC_PURGE_DELAY`, milliseconds) wins.
    pub fn configure() {
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            // SAFETY: sets a number in a static table of the library; the option is within it.
            #[expect(unsafe_code, reason = "the library is C")]
            unsafe {
                libmimalloc_sys::mi_option_set(PURGE_DELAY, KEPT_FOR);
            }
        }
    }

    /// From now on allocations are counted, growing ones too: 0 so far.
    pub fn begin_counting() {
        COUNT.store(0, Ordering::Relaxed);
        COUNTS.store(true, Ordering::Relaxed);
    }

    /// Ends it. How many there were, of all threads; 0 where this is not the program's allocator.
    pub fn end_counting() -> u64 {
        COUNTS.store(false, Ordering::Relaxed);
        COUNT.load(Ordering::Relaxed)
    }
}

#[inline]
fn count() {
    if COUNTS.load(Ordering::Relaxed) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: all of it is mimalloc's; counting touches two statics that do not allocate.
#[expect(unsafe_code, reason = "the trait is unsafe")]
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.realloc(at, layout, size) }
    }

    #[inline]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.dealloc(at, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // No other option of the table has this default.
        let before = delay();
        assert!(before == 1_000 || std::env::var_os("MIMALLOC_PURGE_DELAY").is_some(), "{before}");
        Allocator::configure();
        assert!(delay() == KEPT_FOR || std::env::var_os("MIMALLOC_PURGE_DELAY").is_some());
    }

    #[test]
    fn a_piece_of_64_kib_or_more_has_pages_of_its_own() {
        // Somebody's own flags for the compiler come in place of ours: it works, and grows.
        let is_ours =
            option_env!("CFLAGS").is_some_and(|flags| flags.contains("MI_ENABLE_LARGE_PAGES=0"));
        // Of an area for many pieces of about one length it would be a fifth more.
        let asked = (200 << 10) + 1;
        // SAFETY: computes.
        #[expect(unsafe_code, reason = "the library is C")]
        let given = unsafe { libmimalloc_sys::mi_good_size(asked) };
        assert_eq!(given < asked + (8 << 10), is_ours, "{given} bytes for {asked}");
    }

    fn delay() -> c_long {
        // SAFETY: reads a number of a static table; the option is within it.
        #[expect(unsafe_code, reason = "the library is C")]
        unsafe {
            libmimalloc_sys::mi_option_get(PURGE_DELAY)
        }
    }
}
