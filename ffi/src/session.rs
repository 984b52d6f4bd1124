//! Gets commands of a C host about a media session.
//! Gives them to the session of that id.

use std::ffi::c_char;

use crate::call::guard;
use crate::engine::EngineHandle;
use crate::error::ErrorHandle;

/// Ends a media session: the publisher is disconnected, its files are finished. LIVEREEL_E_NOT_FOUND
/// where no session has this id, LIVEREEL_E_INVALID_STATE where it has just ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_session_terminate(
    engine: *mut EngineHandle,
    media_session_id: *const c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("terminate a session", error, |call| {
        // SAFETY: each is NULL or live, by contract.
        let (engine, id) = unsafe {
            (
                EngineHandle::get(call, engine)?,
                call.text("media_session_id", media_session_id)?,
            )
        };
        engine.session(id)?.terminate()
    })
}

/// Asks the source of a session for a key frame; sources that cannot be asked (RTMP, RTSP) ignore it.
/// LIVEREEL_E_NOT_FOUND where no session has this id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_session_request_key_frame(
    engine: *mut EngineHandle,
    media_session_id: *const c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("ask for a key frame", error, |call| {
        // SAFETY: each is NULL or live, by contract.
        let (engine, id) = unsafe {
            (
                EngineHandle::get(call, engine)?,
                call.text("media_session_id", media_session_id)?,
            )
        };
        engine.session(id)?.request_key_frame();
        Ok(())
    })
}
