//! Gets commands of a C host about recordings.
//! Gives them to the session or recording of that id.

use std::ffi::c_char;
use std::mem::{MaybeUninit, size_of};
use std::ptr;
use std::time::Duration;

use livereel_core::engine::RecordOptions;
use livereel_core::media::{Error, ErrorKind, Result};

use crate::call::{Call, guard};
use crate::engine::EngineHandle;
use crate::error::ErrorHandle;
use crate::text::into_raw;

/// What livereel_recording_start is told. Begin with LIVEREEL_RECORD_OPTIONS_INIT; NULL in a field
/// means as the settings say.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RecordOptionsC {
    /// sizeof(livereel_record_options).
    pub struct_size: u32,
    /// A file-name template (setting stream_record_policy_template), or NULL.
    pub file_template: *const c_char,
    /// A rotation (setting record_rotation), or NULL.
    pub rotation: *const c_char,
}

/// What the first version of the struct measured: no host's is smaller.
const FIRST_SIZE_BYTES: usize = size_of::<RecordOptionsC>();

impl RecordOptionsC {
    const NONE: Self = Self {
        struct_size: 0,
        file_template: ptr::null(),
        rotation: ptr::null(),
    };

    /// The options of a host compiled with this header, an older one (what it lacks is left out) or a
    /// newer one (what is not known here must be unset).
    ///
    /// # Safety
    /// `options` is NULL or points to as many readable bytes as its struct_size says.
    unsafe fn read(call: Call, options: *const Self) -> Result<Self> {
        if options.is_null() {
            return Ok(Self::NONE);
        }
        // SAFETY: not NULL, and every version begins with its size.
        let size = unsafe { ptr::read(options.cast::<u32>()) } as usize;
        let wrong = |error: Error| error.with("struct_size", size).with("known_size", size_of::<Self>());
        if size < FIRST_SIZE_BYTES {
            return Err(wrong(call.invalid("options.struct_size is too small")));
        }
        let known = size.min(size_of::<Self>());
        let bytes = options.cast::<u8>();
        // SAFETY: there are `size` readable bytes.
        let rest = unsafe { std::slice::from_raw_parts(bytes.add(known), size - known) };
        if rest.iter().any(|byte| *byte != 0) {
            return Err(wrong(call.error(
                ErrorKind::Unsupported,
                "options has fields set that this version does not know",
            )));
        }
        let mut own = MaybeUninit::new(Self::NONE);
        // SAFETY: `known` is at most the size of both, and every bit pattern is a valid struct.
        Ok(unsafe {
            ptr::copy_nonoverlapping(bytes, own.as_mut_ptr().cast::<u8>(), known);
            own.assume_init()
        })
    }
}

/// What a host says of a recording.
///
/// # Safety
/// `options` is NULL or points to as many readable bytes as its struct_size says, and its texts live.
pub(crate) unsafe fn record_options(call: Call, options: *const RecordOptionsC) -> Result<RecordOptions> {
    // SAFETY: by this function's contract.
    unsafe {
        let given = RecordOptionsC::read(call, options)?;
        Ok(RecordOptions {
            template: call
                .optional_text("options.file_template", given.file_template)?
                .map(str::to_owned),
            rotation: call
                .optional_text("options.rotation", given.rotation)?
                .map(str::to_owned),
        })
    }
}

/// Starts one more recording of a media session. `options` may be NULL. Puts out the recording's id,
/// unless `recording_id` is NULL; the caller frees it with livereel_string_free.
/// LIVEREEL_E_INVALID_ARGUMENT names a wrong option, LIVEREEL_E_NOT_FOUND where no session has this
/// id, LIVEREEL_E_INVALID_STATE where it has just ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_recording_start(
    engine: *mut EngineHandle,
    media_session_id: *const c_char,
    options: *const RecordOptionsC,
    recording_id: *mut *mut c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("start a recording", error, |call| {
        // SAFETY: each is NULL or live or writable, by contract.
        let (engine, id, place) = unsafe {
            (
                EngineHandle::get(call, engine)?,
                call.text("media_session_id", media_session_id)?,
                call.optional_output(recording_id),
            )
        };
        // SAFETY: by contract `options` is NULL or as long as it says, and its texts live.
        let options = unsafe { record_options(call, options)? };
        let recording = engine.session(id)?.record(options)?;
        if place.is_wanted() {
            place.write(into_raw(recording.id()));
        }
        Ok(())
    })
}

/// Begins a new part at the next key frame. LIVEREEL_E_NOT_FOUND where no recording has this id,
/// LIVEREEL_E_INVALID_STATE where it has just ended or its session is in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_recording_rotate(
    engine: *mut EngineHandle,
    recording_id: *const c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("rotate a recording", error, |call| {
        // SAFETY: each is NULL or live, by contract.
        let (engine, id) = unsafe {
            (
                EngineHandle::get(call, engine)?,
                call.text("recording_id", recording_id)?,
            )
        };
        engine.recording(id)?.rotate()
    })
}

/// Leaves out what comes from now on. The pause is cut out of the timeline, or stays as a gap where
/// `keep_gap` is not 0. LIVEREEL_E_NOT_FOUND where no recording has this id, LIVEREEL_E_INVALID_STATE
/// where it has just ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_recording_pause(
    engine: *mut EngineHandle,
    recording_id: *const c_char,
    keep_gap: i32,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("pause a recording", error, |call| {
        // SAFETY: each is NULL or live, by contract.
        let (engine, id) = unsafe {
            (
                EngineHandle::get(call, engine)?,
                call.text("recording_id", recording_id)?,
            )
        };
        engine.recording(id)?.pause(keep_gap != 0)
    })
}

/// Goes on after livereel_recording_pause, from the next key frame; nothing happens where it is not
/// paused. LIVEREEL_E_NOT_FOUND where no recording has this id, LIVEREEL_E_INVALID_STATE where it has
/// just ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_recording_resume(
    engine: *mut EngineHandle,
    recording_id: *const c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("resume a recording", error, |call| {
        // SAFETY: each is NULL or live, by contract.
        let (engine, id) = unsafe {
            (
                EngineHandle::get(call, engine)?,
                call.text("recording_id", recording_id)?,
            )
        };
        engine.recording(id)?.resume()
    })
}

/// Ends a recording; its session goes on. With `timeout_ms` above 0 it returns when the files are
/// finished, or LIVEREEL_E_TIMEOUT after so long; with 0 or less it does not wait. The files come as
/// events either way. LIVEREEL_E_NOT_FOUND where no recording has this id, LIVEREEL_E_INVALID_STATE
/// where it has just ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_recording_stop(
    engine: *mut EngineHandle,
    recording_id: *const c_char,
    timeout_ms: i64,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("stop a recording", error, |call| {
        // SAFETY: each is NULL or live, by contract.
        let (engine, id) = unsafe {
            (
                EngineHandle::get(call, engine)?,
                call.text("recording_id", recording_id)?,
            )
        };
        let wait = u64::try_from(timeout_ms)
            .ok()
            .filter(|ms| *ms > 0)
            .map(Duration::from_millis);
        engine.recording(id)?.stop(wait)
    })
}
