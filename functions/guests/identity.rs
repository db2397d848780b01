//! Every record out as it came: the function that benchmarks measure the runtime with.
//!
//! What lives here is as little as the world allows: no std, no SDK, no WASI import, an allocator that only moves a
//! pointer, and vectors that are moved and never copied. It must never learn to do anything else.
// Natively there is nothing to build: no native linker takes the exports' names.
#![cfg(target_family = "wasm")]
#![no_std]
#![expect(unsafe_code, reason = "without std, this file itself is the seam to the host")]

extern crate alloc;

use alloc::vec::Vec;

wit_bindgen::generate!({ path: "../../wit", world: "function" });

use self::exports::millstream::function::handler::{Batch, Failure, Guest, Response};
use self::millstream::function::types::Output;

struct Identity;

impl Guest for Identity {
    fn handle(batch: Batch) -> Result<Response, Failure> {
        let mut outputs = Vec::with_capacity(batch.records.len());
        for (index, record) in (0u32..).zip(batch.records) {
            outputs.push(Output {
                source: Some(index),
                topic: None,
                key: record.key,
                value: record.value,
                headers: record.headers,
            });
        }
        Ok(Response { outputs, failed: Vec::new() })
    }
}

export!(Identity);

mod bare {
    use core::alloc::{GlobalAlloc, Layout};

    #[global_allocator]
    static ALLOCATOR: millstream_bump::Bump = millstream_bump::Bump::new();

    /// How the host gets room for what it hands over. A libc would bring one; this guest has none.
    ///
    /// # Safety
    /// Called by the host alone, by the rules of the canonical ABI.
    #[unsafe(export_name = "cabi_realloc")]
    unsafe extern "C" fn realloc(
        old: *mut u8,
        old_size: usize,
        align: usize,
        size: usize,
    ) -> *mut u8 {
        if size == 0 {
            return core::ptr::without_provenance_mut(align);
        }
        // SAFETY: the host passes an alignment that is a power of two, and blocks that came from here.
        let block = unsafe {
            if old_size == 0 {
                ALLOCATOR.alloc(Layout::from_size_align_unchecked(size, align))
            } else {
                ALLOCATOR.realloc(old, Layout::from_size_align_unchecked(old_size, align), size)
            }
        };
        if block.is_null() {
            core::arch::wasm32::unreachable();
        }
        block
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        core::arch::wasm32::unreachable()
    }
}
