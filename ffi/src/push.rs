//! Gets encoded samples of a C host.
//! Gives them to a media session of their own, without a copy where the host gives a release callback.

use std::ffi::{c_char, c_void};
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use livereel_core::engine::{Push, PushOptions, Pushed};
use livereel_core::ingest::push::{PushSample, TrackSpec};
use livereel_core::media::{ErrorKind, Result, TrackId};

use crate::call::{Call, guard, guard_value};
use crate::engine::EngineHandle;
use crate::error::ErrorHandle;
use crate::handle::Magic;
use crate::text::into_raw;

/// A stream whose encoded samples the host hands in.
pub struct PushHandle {
    magic: Magic<0x4C52_5055>,
    process: u32,
    push: Push,
}

impl PushHandle {
    /// The stream behind a handle.
    ///
    /// # Safety
    /// `push` is NULL or live, and stays so for `'a`.
    unsafe fn get<'a>(call: Call, push: *const Self) -> Result<&'a Push> {
        // SAFETY: passed on.
        let handle = unsafe { call.object("push", push)? };
        handle.magic.check("a livereel_push");
        if handle.process != std::process::id() {
            return Err(call.error(ErrorKind::Forked, "the stream belongs to the process before the fork"));
        }
        Ok(&handle.push)
    }
}

/// Called once, on any thread, when the library needs the bytes of a sample no more. It must neither
/// throw nor call into the library.
pub type ReleaseCallback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// One access unit or frame. Begin with LIVEREEL_SAMPLE_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SampleC {
    /// sizeof(livereel_sample).
    pub struct_size: u32,
    /// The number that livereel_push_track put out.
    pub track: u32,
    /// When it is shown, in ticks of the track's timescale.
    pub pts: i64,
    /// When it is decoded, likewise; the same as pts where pictures are not reordered.
    pub dts: i64,
    /// Not 0 where decoding can start here; taken from the payload where that tells.
    pub key: i32,
    /// Bytes of the payload.
    pub size: u32,
    /// The payload.
    pub data: *const u8,
    /// NULL: the bytes are copied. Otherwise they are used as they lie, must not change, and the
    /// library calls this once it is done with them.
    pub release: ReleaseCallback,
    /// What `release` is called with.
    pub release_data: *mut c_void,
}

/// Where bytes of the host's stand: `release` runs when they are both taken and not needed any more.
struct Loan {
    state: AtomicU8,
    release: unsafe extern "C" fn(*mut c_void),
    user_data: *mut c_void,
}

/// Neither is known yet.
const OPEN: u8 = 0;
/// The sample was taken.
const TAKEN: u8 = 1;
/// Nothing refers to the bytes any more.
const UNUSED: u8 = 2;

// SAFETY: by the header's contract `release` and its data are for any thread.
unsafe impl Send for Loan {}
// SAFETY: likewise; the state is atomic.
unsafe impl Sync for Loan {}

impl Loan {
    /// Notes one of the two, and releases the bytes with the second.
    fn note(&self, state: u8) {
        if self.state.swap(state, Ordering::AcqRel) != OPEN {
            // SAFETY: the host's own function with the host's own data, once.
            guard_value((), || unsafe { (self.release)(self.user_data) });
        }
    }
}

/// Bytes of the host's.
struct Lent {
    data: *const u8,
    size: usize,
    loan: Arc<Loan>,
}

// SAFETY: by the header's contract the bytes do not change until they are released.
unsafe impl Send for Lent {}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: by the header's contract there are `size` bytes until they are released.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.loan.note(UNUSED);
    }
}

/// Begins a stream that the host pushes. `record` is 1 or 0, or negative for what the setting
/// record_pushed_streams says; `login` and `room` may be NULL. The caller ends and frees it with
/// livereel_push_free. LIVEREEL_E_INVALID_STATE where the engine does not run,
/// LIVEREEL_E_INVALID_ARGUMENT where the name is in use or too long.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_push_new(
    engine: *mut EngineHandle,
    stream_name: *const c_char,
    record: i32,
    login: *const c_char,
    room: *const c_char,
    push: *mut *mut PushHandle,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("begin a pushed stream", error, |call| {
        // SAFETY: each is NULL or live or writable, by contract.
        let (engine, name, login, room, place) = unsafe {
            (
                EngineHandle::get(call, engine)?,
                call.text("stream_name", stream_name)?,
                call.optional_text("login", login)?,
                call.optional_text("room", room)?,
                call.output("push", push)?,
            )
        };
        let options = PushOptions {
            record: (record >= 0).then_some(record != 0),
            login: login.unwrap_or_default().to_owned(),
            room: room.unwrap_or_default().to_owned(),
        };
        let handle = PushHandle {
            magic: Magic::new(),
            process: std::process::id(),
            push: engine.push(name, &options)?,
        };
        place.write(Box::into_raw(Box::new(handle)));
        Ok(())
    })
}

/// Puts out the UUID of the stream's media session; the caller frees it with livereel_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_push_session_id(
    push: *mut PushHandle,
    media_session_id: *mut *mut c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("ask for a stream's session", error, |call| {
        // SAFETY: each is NULL or live or writable, by contract.
        let (push, place) = unsafe {
            (
                PushHandle::get(call, push)?,
                call.output("media_session_id", media_session_id)?,
            )
        };
        place.write(into_raw(push.session().id()));
        Ok(())
    })
}

/// Declares a track, before its first sample, and puts out its number. `codec` is "h264", "aac" and
/// so on; `config` its headers (an AVCDecoderConfigurationRecord, an AudioSpecificConfig), or NULL
/// where the samples carry them (Annex B, ADTS); `timescale` the ticks a second of its timestamps, 0
/// for 1000. LIVEREEL_E_INVALID_ARGUMENT names the codecs that there are, LIVEREEL_E_MALFORMED for
/// broken headers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_push_track(
    push: *mut PushHandle,
    codec: *const c_char,
    config: *const u8,
    config_size: usize,
    timescale: u32,
    track: *mut u32,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("declare a track", error, |call| {
        // SAFETY: each is NULL or live or writable, by contract.
        let (push, codec, place) = unsafe {
            (
                PushHandle::get(call, push)?,
                call.text("codec", codec)?,
                call.output("track", track)?,
            )
        };
        let config = if config.is_null() {
            Bytes::new()
        } else {
            // SAFETY: not NULL, so there are as many bytes as the host says.
            Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(config, config_size) })
        };
        let spec = TrackSpec {
            codec: codec.to_owned(),
            config,
            timescale,
        };
        place.write(push.track(&spec)?.0);
        Ok(())
    })
}

/// Hands in a sample. Never blocks. LIVEREEL_E_BUSY where a recording is behind: push it again after
/// livereel_push_wait. LIVEREEL_E_MALFORMED for the payload, LIVEREEL_E_NOT_FOUND for the track,
/// LIVEREEL_E_CANCELLED where the engine or a REST client ended the stream. After any failure nothing
/// was taken, and `release` is not called: the bytes stay the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_push_sample(
    push: *mut PushHandle,
    sample: *const SampleC,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("push a sample", error, |call| {
        // SAFETY: each is NULL or live, by contract.
        let (push, sample) = unsafe { (PushHandle::get(call, push)?, call.object("sample", sample)?) };
        if (sample.struct_size as usize) < size_of::<SampleC>() {
            return Err(call
                .invalid("sample.struct_size is too small")
                .with("struct_size", sample.struct_size)
                .with("known_size", size_of::<SampleC>()));
        }
        if sample.data.is_null() {
            return Err(call.invalid("sample.data is NULL"));
        }
        let size = sample.size as usize;
        let loan = sample.release.map(|release| {
            Arc::new(Loan {
                state: AtomicU8::new(OPEN),
                release,
                user_data: sample.release_data,
            })
        });
        let data = match &loan {
            Some(loan) => Bytes::from_owner(Lent {
                data: sample.data,
                size,
                loan: Arc::clone(loan),
            }),
            // SAFETY: not NULL, so there are as many bytes as the host says.
            None => Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(sample.data, size) }),
        };
        let pushed = push.push(PushSample {
            track: TrackId(sample.track),
            pts: sample.pts,
            dts: sample.dts,
            key: sample.key != 0,
            data,
        })?;
        if pushed == Pushed::Full {
            return Err(call.error(ErrorKind::Busy, "a recording is behind"));
        }
        if let Some(loan) = loan {
            loan.note(TAKEN);
        }
        Ok(())
    })
}

/// Waits until a sample would be taken again, `timeout_ms` at most: LIVEREEL_E_TIMEOUT then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_push_wait(
    push: *mut PushHandle,
    timeout_ms: i64,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("wait for room", error, |call| {
        // SAFETY: NULL or live, by contract.
        let push = unsafe { PushHandle::get(call, push)? };
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or_default());
        if push.wait_for_room(timeout)? {
            return Ok(());
        }
        Err(call
            .error(ErrorKind::Timeout, "a recording is still behind")
            .with("timeout_ms", timeout_ms))
    })
}

/// Ends the stream: its files are finished, with their events. LIVEREEL_E_INVALID_STATE where it has
/// ended. The handle is still to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_push_end(push: *mut PushHandle, error: *mut *mut ErrorHandle) -> i32 {
    guard("end a pushed stream", error, |call| {
        // SAFETY: NULL or live, by contract.
        unsafe { PushHandle::get(call, push)? }.end()
    })
}

/// Ends the stream where it has not ended, and frees the handle. NULL is allowed. In a forked child it
/// releases memory only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_push_free(push: *mut PushHandle) {
    guard_value((), || {
        if push.is_null() {
            return;
        }
        // SAFETY: by contract it is live, and nobody uses it after this.
        let handle = unsafe { Box::from_raw(push) };
        handle.magic.clear("a livereel_push");
        if handle.process != std::process::id() {
            std::mem::forget(handle);
        }
    });
}
