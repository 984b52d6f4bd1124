//! Gets URLs that a C host wants pulled.
//! Gives them to the engine, which connects to them again and again.

use std::ffi::c_char;

use livereel_core::engine::PullOptions;
use livereel_core::ingest::pull::RtspTransport;

use crate::call::guard;
use crate::engine::EngineHandle;
use crate::error::ErrorHandle;
use crate::recording::{RecordOptionsC, record_options};
use crate::text::into_raw;

/// Pulls a stream from another server: rtsp:// or rtmp://, credentials in the URL. Returns at once; a
/// source that is away or goes away is tried again until livereel_session_terminate, and one recording
/// covers it all. `stream_name` is its name here, NULL for the last part of the URL; `record` 1 or 0,
/// or negative for what the settings say; `login` and `room` may be NULL; `transport` is "tcp" or
/// "udp" for RTSP, or NULL for the setting rtsp_transport; `options` say how it is recorded, NULL for
/// as the settings do. Puts out the media session's id, unless `media_session_id` is NULL; the caller
/// frees it with livereel_string_free. LIVEREEL_E_INVALID_ARGUMENT names what is wrong,
/// LIVEREEL_E_INVALID_STATE where the engine does not run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_pull_start(
    engine: *mut EngineHandle,
    url: *const c_char,
    stream_name: *const c_char,
    record: i32,
    login: *const c_char,
    room: *const c_char,
    transport: *const c_char,
    options: *const RecordOptionsC,
    media_session_id: *mut *mut c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("pull a stream", error, |call| {
        // SAFETY: each is NULL or live or writable, by contract.
        let (engine, url, name, login, room, transport, place) = unsafe {
            (
                EngineHandle::get(call, engine)?,
                call.text("url", url)?,
                call.optional_text("stream_name", stream_name)?,
                call.optional_text("login", login)?,
                call.optional_text("room", room)?,
                call.optional_text("transport", transport)?,
                call.optional_output(media_session_id),
            )
        };
        let transport = match transport {
            None => None,
            Some(text) => Some(RtspTransport::parse(text).ok_or_else(|| {
                call.invalid("transport is not tcp or udp")
                    .with("transport", text.escape_debug())
            })?),
        };
        // SAFETY: by contract `options` is NULL or as long as it says, and its texts live.
        let recording = unsafe { record_options(call, options)? };
        let options = PullOptions {
            stream_name: name.unwrap_or_default().to_owned(),
            record: (record >= 0).then_some(record != 0),
            login: login.unwrap_or_default().to_owned(),
            room: room.unwrap_or_default().to_owned(),
            transport,
            recording,
        };
        let session = engine.pull(url, &options)?;
        if place.is_wanted() {
            place.write(into_raw(session.id()));
        }
        Ok(())
    })
}
