//! Gets nothing.
//! Gives what decoder and encoder of Vorbis share: libvorbis's state, at a fixed address and always freed.

use std::mem::MaybeUninit;

use aotuv_lancer_vorbis_sys as sys;

/// The structures of one stream. They point at each other, hence the heap and raw access only.
pub(super) struct State(*mut Parts);

struct Parts {
    info: sys::vorbis_info,
    comment: sys::vorbis_comment,
    dsp: sys::vorbis_dsp_state,
    block: sys::vorbis_block,
    /// Whether `dsp` and `block` were initialised.
    running: bool,
}

// SAFETY: libvorbis keeps no state outside of these structures, and this alone points to them.
unsafe impl Send for State {}

impl State {
    /// `info` and `comment` initialised and empty, the rest not running.
    pub(super) fn new() -> Self {
        // SAFETY: all fields are numbers and pointers, for which zeros are a value.
        let parts: Parts = unsafe { MaybeUninit::zeroed().assume_init() };
        let parts = Box::into_raw(Box::new(parts));
        // SAFETY: both are written by these calls, whatever they held before.
        unsafe {
            sys::vorbis_info_init(&raw mut (*parts).info);
            sys::vorbis_comment_init(&raw mut (*parts).comment);
        }
        Self(parts)
    }

    pub(super) fn info(&self) -> *mut sys::vorbis_info {
        // SAFETY: it points into the allocation that lives as long as this.
        unsafe { &raw mut (*self.0).info }
    }

    pub(super) fn comment(&self) -> *mut sys::vorbis_comment {
        // SAFETY: as above.
        unsafe { &raw mut (*self.0).comment }
    }

    pub(super) fn dsp(&self) -> *mut sys::vorbis_dsp_state {
        // SAFETY: as above.
        unsafe { &raw mut (*self.0).dsp }
    }

    pub(super) fn block(&self) -> *mut sys::vorbis_block {
        // SAFETY: as above.
        unsafe { &raw mut (*self.0).block }
    }

    /// Starts the decoder or the encoder by `init` (`vorbis_synthesis_init`, `vorbis_analysis_init`).
    /// Returns whether it could.
    pub(super) fn start(
        &mut self,
        init: unsafe extern "C" fn(*mut sys::vorbis_dsp_state, *mut sys::vorbis_info) -> i32,
    ) -> bool {
        // SAFETY: `info` was filled by the caller; both initialisers write what they are given.
        unsafe {
            if init(self.dsp(), self.info()) != 0 {
                sys::vorbis_dsp_clear(self.dsp());
                return false;
            }
            (*self.0).running = true;
            sys::vorbis_block_init(self.dsp(), self.block()) == 0
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: each structure is cleared once, in the order that libvorbis asks for, and the
        // allocation is the one made in `new`.
        unsafe {
            if (*self.0).running {
                sys::vorbis_block_clear(self.block());
                sys::vorbis_dsp_clear(self.dsp());
            }
            sys::vorbis_comment_clear(self.comment());
            sys::vorbis_info_clear(self.info());
            drop(Box::from_raw(self.0));
        }
    }
}
