//! Gets nothing.
//! Gives handles their magic word, which tells a live one from a freed one in debug builds, and their lock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. A panic that poisoned the mutex was answered with `LIVEREEL_E_INTERNAL` and harms no later
/// call: what is in a handle is replaced as a whole. The standard library's mutex has no table of
/// waiting threads that a forked child would inherit.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A word that is in a handle while it lives. `WORD` differs from type to type, so that a handle of
/// the wrong type is found too.
pub(crate) struct Magic<const WORD: u32>(AtomicU32);

impl<const WORD: u32> Magic<WORD> {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(WORD))
    }

    /// Aborts a debug build where the word is not there. A release build does not look: the memory
    /// of a freed handle may be anything by then.
    pub(crate) fn check(&self, what: &str) {
        if cfg!(debug_assertions) && self.0.load(Ordering::Relaxed) != WORD {
            eprintln!("livereel: {what} is not a live handle (freed twice, or used after its _free)");
            std::process::abort();
        }
    }

    /// Takes the word away; what comes after is a use after free.
    pub(crate) fn clear(&self, what: &str) {
        self.check(what);
        self.0.store(0, Ordering::Relaxed);
    }
}
