//! An allocator for functions: allocating moves a pointer, freeing lowers a count, and when the count is zero the
//! pointer goes back to the start.
//!
//! What lives here is that one type and nothing that allocates. An invocation hands over thousands of small lists and
//! drops them all at its end, so this spares the bookkeeping of a general allocator (a third of the whole round for
//! small batches). With a fresh instance per invocation nothing can leak; with a warm one the pointer goes back
//! whenever everything was freed, and only a function that keeps something for ever in a static grows from call to
//! call: such a function takes Rust's own allocator.
//!
//! ```text
//! #[global_allocator]
//! static ALLOCATOR: millstream_bump::Bump = millstream_bump::Bump::new();
//! ```
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]
#![expect(unsafe_code, reason = "an allocator hands out raw memory; that is its whole work")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;

const PAGE: usize = 64 << 10;
/// Memory is asked for in steps of at least this many pages: each step costs a call into the engine.
const GROW_PAGES_MIN: usize = 4;

/// The allocator; see the head of the file.
#[derive(Debug)]
pub struct Bump {
    /// Where the memory that can be used again starts; zero before the first allocation.
    start: Cell<usize>,
    /// The first byte not handed out.
    next: Cell<usize>,
    /// The end of what was asked of the engine.
    end: Cell<usize>,
    /// Allocations handed out and not freed.
    held: Cell<usize>,
}

// SAFETY: a component of this world has one thread, so nothing is ever shared between two.
unsafe impl Sync for Bump {}

impl Bump {
    pub const fn new() -> Self {
        Self { start: Cell::new(0), next: Cell::new(0), end: Cell::new(0), held: Cell::new(0) }
    }

    /// Asks the engine for memory so that `needed_end` lies within it. Only pages that this allocator grew are used,
    /// since a libc beside it takes what lies between `__heap_base` and the first growth.
    #[cold]
    #[inline(never)]
    fn grow(&self, size: usize, align: usize) -> *mut u8 {
        let Some(wanted) = size.checked_add(align) else { return core::ptr::null_mut() };
        let mut pages = wanted.div_ceil(PAGE).max(GROW_PAGES_MIN);
        let at_end = memory_size(0) * PAGE == self.end.get();
        if at_end {
            // The step also doubles with what is in use, so that a large batch costs a handful of steps.
            pages = pages.max((self.end.get() - self.start.get()) / PAGE / 2);
        }
        let mut from = memory_grow(0, pages);
        if from == usize::MAX {
            // Near its limit the memory may still have room for just this.
            pages = wanted.div_ceil(PAGE);
            from = memory_grow(0, pages);
            if from == usize::MAX {
                return core::ptr::null_mut();
            }
        }
        if from * PAGE != self.end.get() || self.end.get() == 0 {
            // Another allocator grew the memory in between: go on in the new stretch, and forget the old one.
            self.start.set(from * PAGE);
            self.next.set(from * PAGE);
        }
        self.end.set((from + pages) * PAGE);
        self.take(size, align)
    }

    #[inline(always)]
    fn take(&self, size: usize, align: usize) -> *mut u8 {
        let at = (self.next.get() + (align - 1)) & !(align - 1);
        // The sum cannot overflow where it is used: a size that large fails the comparison, as memory ends at 4 GiB.
        let end = at.wrapping_add(size);
        if end > self.end.get() || end < at {
            return self.grow(size, align);
        }
        self.next.set(end);
        self.held.set(self.held.get() + 1);
        at as *mut u8
    }
}

impl Default for Bump {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: `take` hands out disjoint, aligned stretches of memory that the engine gave to this allocator alone, and
// takes none back before all of them were freed.
unsafe impl GlobalAlloc for Bump {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size(), layout.align())
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let held = self.held.get() - 1;
        self.held.set(held);
        if held == 0 {
            self.next.set(self.start.get());
        } else if block as usize + layout.size() == self.next.get() {
            // The newest block: a scratch vector that comes and goes costs nothing.
            self.next.set(block as usize);
        }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let at = block as usize;
        if at + layout.size() == self.next.get() && at + size <= self.end.get() {
            self.next.set(at + size);
            return block;
        }
        if size <= layout.size() {
            return block;
        }
        let moved = self.take(size, layout.align());
        if !moved.is_null() {
            // SAFETY: both stretches are ours, disjoint and at least `layout.size()` long.
            unsafe { core::ptr::copy_nonoverlapping(block, moved, layout.size()) };
            self.held.set(self.held.get() - 1);
        }
        moved
    }
}
