//! The allocator, and how soon it gives back what nobody needs. The only file with unsafe code.

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};
use std::ffi::c_long;

/// Gives back what a collection needed for a moment, which the system's allocator hardly does: see ARCHITECTURE.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// What mimalloc has it at when nobody sets it, in milliseconds.
const DEFAULT_MS: c_long = 1_000;
const SOON_MS: c_long = 10;

/// Has pages given back as soon as a step of a collection is over, not a second later when the next one has taken others.
/// What `MIMALLOC_PURGE_DELAY` sets stays.
#[expect(unsafe_code, reason = "options of the allocator can be reached over its C interface alone")]
pub fn give_back_soon() {
    // SAFETY: both read or write one entry of a table of numbers, and check the index. Should a later version number its options
    // otherwise, the default is not found, and nothing is set.
    unsafe {
        if mi_option_get(PURGE_DELAY) == DEFAULT_MS {
            mi_option_set(PURGE_DELAY, SOON_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "as above")]
    fn the_option_is_the_one_that_it_is_taken_for() {
        give_back_soon();
        // SAFETY: as above.
        let set = unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(set, SOON_MS, "mimalloc numbers its options otherwise: look it up in mimalloc.h");
    }
}
