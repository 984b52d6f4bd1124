//! Gets settings, and calls of a C host on its engine.
//! Gives the engine's life cycle, its addresses and its listings.

use std::ffi::c_char;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use livereel_core::engine::Engine;
use livereel_core::media::{ErrorKind, Result};

use crate::call::{Call, guard, guard_value};
use crate::config::ConfigHandle;
use crate::error::ErrorHandle;
use crate::handle::{Magic, lock};
use crate::text::{into_raw, json};

// C holds one reference of it, every subscription another: a callback that runs while another thread
// is inside `_free` still has memory to look at. The engine proper is taken out by `_free`, which also
// opens the circle engine, callback, handle, engine.
/// An engine: listeners, sessions, recordings and event delivery.
pub struct EngineHandle {
    magic: Magic<0x4C52_454E>,
    process: u32,
    engine: Mutex<Option<Engine>>,
}

impl EngineHandle {
    /// The handle, of any process.
    ///
    /// # Safety
    /// `engine` is NULL or live, and stays so for `'a`.
    unsafe fn any<'a>(call: Call, engine: *const Self) -> Result<&'a Self> {
        // SAFETY: passed on.
        let handle = unsafe { call.object("engine", engine)? };
        handle.magic.check("a livereel_engine");
        Ok(handle)
    }

    /// The engine behind a handle. The clone keeps it while the call runs.
    ///
    /// # Safety
    /// `engine` is NULL or live.
    pub(crate) unsafe fn get(call: Call, engine: *const Self) -> Result<Engine> {
        // SAFETY: passed on.
        let handle = unsafe { Self::any(call, engine)? };
        if handle.is_forked() {
            return Err(call.error(ErrorKind::Forked, "the engine belongs to the process before the fork"));
        }
        let engine = lock(&handle.engine).clone();
        engine.ok_or_else(|| call.error(ErrorKind::InvalidState, "the engine is being freed"))
    }

    /// One more reference to a handle, for a callback that may outlive `_free`.
    ///
    /// # Safety
    /// `engine` is live.
    pub(crate) unsafe fn share(engine: *const Self) -> Arc<Self> {
        // SAFETY: it came from `Arc::into_raw` and C's own reference keeps it alive.
        unsafe {
            Arc::increment_strong_count(engine);
            Arc::from_raw(engine)
        }
    }

    /// Whether this is a child of the process that made the engine: then its threads are not here,
    /// and a lock of it may be held for ever.
    pub(crate) fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }
}

/// Puts out a new engine with a copy of `config`, which stays the caller's. It opens no socket and no
/// folder yet. LIVEREEL_E_INVALID_CONFIG, its message listing every problem, where settings do not
/// fit. The caller frees it with livereel_engine_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_engine_new(
    config: *const ConfigHandle,
    engine: *mut *mut EngineHandle,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("make an engine", error, |call| {
        // SAFETY: each is NULL or live or writable, by contract.
        let (config, place) = unsafe { (ConfigHandle::get(call, config)?, call.output("engine", engine)?) };
        let engine = Engine::new(config.snapshot())?;
        let handle = EngineHandle {
            magic: Magic::new(),
            process: std::process::id(),
            engine: Mutex::new(Some(engine)),
        };
        place.write(Arc::into_raw(Arc::new(handle)).cast_mut());
        Ok(())
    })
}

/// Opens the folders, finishes what a crash left, and opens the listeners; returns when all listen
/// (each is a `listening` event too). LIVEREEL_E_INVALID_STATE for an engine that was started before,
/// else what folders and sockets answer. After a failure nothing is open, and it may be tried again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_engine_start(engine: *mut EngineHandle, error: *mut *mut ErrorHandle) -> i32 {
    guard("start the engine", error, |call| {
        // SAFETY: NULL or live, by contract.
        unsafe { EngineHandle::get(call, engine)? }.start()
    })
}

/// Ends every session, finishes every file, delivers the last events, and returns when all is done.
/// Calling it again is fine. It waits `timeout_ms` at most; a negative one means as the setting
/// record_stop_timeout says. Called from an event callback it begins the stop and returns at once.
/// In a forked child it does nothing and succeeds. LIVEREEL_E_TIMEOUT where files are not finished by
/// then: they go on being finished.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_engine_stop(
    engine: *mut EngineHandle,
    timeout_ms: i64,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("stop the engine", error, |call| {
        // SAFETY: NULL or live, by contract.
        let handle = unsafe { EngineHandle::any(call, engine)? };
        if handle.is_forked() {
            return Ok(());
        }
        // SAFETY: as above.
        let engine = unsafe { EngineHandle::get(call, engine)? };
        engine.stop(u64::try_from(timeout_ms).ok().map(Duration::from_millis))
    })
}

/// Stops the engine as livereel_engine_stop with a negative time-out does, then frees it. NULL is
/// allowed. When it returns, every callback had its last call and its `drop`, unless the time ran out.
/// Called from an event callback it returns at once, and other threads finish the work. When it was
/// called, the handle is gone for everybody but callbacks that run meanwhile. In a forked child it
/// releases memory and does nothing else: no file, socket or callback is touched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_engine_free(engine: *mut EngineHandle) {
    guard_value((), || {
        if engine.is_null() {
            return;
        }
        // SAFETY: not NULL, so by contract it is C's own reference, given up with this call.
        let handle = unsafe { Arc::from_raw(engine) };
        handle.magic.check("a livereel_engine");
        if handle.is_forked() {
            handle.magic.clear("a livereel_engine");
            if let Some(handle) = Arc::into_inner(handle) {
                // Dropped, it would stop threads that are not in this process.
                std::mem::forget(handle.engine);
            }
            return;
        }
        let running = lock(&handle.engine).clone();
        let stopped = running.is_none_or(|running| running.stop(None).is_ok());
        handle.magic.clear("a livereel_engine");
        let last = lock(&handle.engine).take();
        if !stopped {
            // The time is up and dropping would wait once more. Files go on being finished, a later
            // start recovers what is left; where no thread is to be had, this one waits.
            let _ = std::thread::Builder::new()
                .name("livereel-free".to_owned())
                .spawn(move || drop(last));
        }
    });
}

/// Puts out where the listener of `protocol` (`rtmp`, `http`, `https`, `webrtc`) listens, as
/// `host:port`; with port 0 in the setting this tells the port. The caller frees the text with
/// livereel_string_free. LIVEREEL_E_NOT_FOUND where there is no such listener, or none yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_engine_address(
    engine: *const EngineHandle,
    protocol: *const c_char,
    address: *mut *mut c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("tell a listener's address", error, |call| {
        // SAFETY: each is NULL or live or writable, by contract.
        let (engine, protocol, place) = unsafe {
            (
                EngineHandle::get(call, engine)?,
                call.text("protocol", protocol)?,
                call.output("address", address)?,
            )
        };
        let found = engine.address(protocol).ok_or_else(|| {
            call.error(ErrorKind::NotFound, "no listener of this protocol is open")
                .with("protocol", protocol)
        })?;
        place.write(into_raw(&found.to_string()));
        Ok(())
    })
}

/// Puts out the running media sessions as a JSON array (`[]` for none), each an object with
/// media_session_id, stream_name, protocol, peer, tracks, counters and what the publisher told of
/// itself. The caller frees the text with livereel_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_engine_sessions_json(
    engine: *const EngineHandle,
    sessions: *mut *mut c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("list the sessions", error, |call| {
        // SAFETY: each is NULL or live or writable, by contract.
        let (engine, place) = unsafe { (EngineHandle::get(call, engine)?, call.output("sessions", sessions)?) };
        place.write(into_raw(&json(call, &engine.sessions())?));
        Ok(())
    })
}

/// Puts out the running recordings as a JSON array (`[]` for none), each an object with recording_id,
/// media_session_id, file_name, part, duration_ms, size_bytes and paused. The caller frees the text
/// with livereel_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_engine_recordings_json(
    engine: *const EngineHandle,
    recordings: *mut *mut c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("list the recordings", error, |call| {
        // SAFETY: each is NULL or live or writable, by contract.
        let (engine, place) = unsafe { (EngineHandle::get(call, engine)?, call.output("recordings", recordings)?) };
        place.write(into_raw(&json(call, &engine.recordings())?));
        Ok(())
    })
}

/// Finishes growing files that dead engines left in the record folders, as livereel_engine_start does
/// by itself; works on an engine that is not started. Each gives a `recovered` event. Puts them out as
/// a JSON array too, unless `files` is NULL; the caller frees the text with livereel_string_free. One
/// unreadable file is a warning event, not a failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_engine_recover(
    engine: *mut EngineHandle,
    files: *mut *mut c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("recover growing files", error, |call| {
        // SAFETY: each is NULL or live or writable, by contract.
        let (engine, place) = unsafe { (EngineHandle::get(call, engine)?, call.optional_output(files)) };
        let recovered = engine.recover()?;
        if place.is_wanted() {
            place.write(into_raw(&json(call, &recovered)?));
        }
        Ok(())
    })
}
