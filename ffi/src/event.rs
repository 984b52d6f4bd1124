//! Gets events of the core on its notifier thread.
//! Gives them to the callbacks of a C host, each fact in a field.

use std::ffi::{CString, c_char, c_void};
use std::mem::size_of;
use std::ptr;
use std::sync::Arc;

use livereel_core::engine::{Event, SubscriptionId};

use crate::call::{guard, guard_value};
use crate::engine::EngineHandle;
use crate::error::ErrorHandle;
use crate::text::c_string;

/// An event that this version has no number for; its name tells.
pub const LIVEREEL_EVENT_OTHER: i32 = 0;
/// A listener is open: protocol, address.
pub const LIVEREEL_EVENT_LISTENING: i32 = 1;
/// A media session began: protocol, peer; the tracks are in json.
pub const LIVEREEL_EVENT_SESSION_PUBLISHED: i32 = 2;
/// A media session ended: reason.
pub const LIVEREEL_EVENT_SESSION_ENDED: i32 = 3;
/// A recording began: file_name, with elements that are not known yet left as they are written.
pub const LIVEREEL_EVENT_RECORDING_STARTED: i32 = 4;
/// A file is whole, under its final name, and on stable storage.
pub const LIVEREEL_EVENT_FILE_FINISHED: i32 = 5;
/// A file that a crash left is whole now.
pub const LIVEREEL_EVENT_RECOVERED: i32 = 6;
/// A recording is over: parts, and the sums size_bytes and duration_ms.
pub const LIVEREEL_EVENT_RECORDING_FINISHED: i32 = 7;
/// A recording was ended by a failure: code, message, path.
pub const LIVEREEL_EVENT_RECORDING_FAILED: i32 = 8;
/// Something that the host should know; recordings go on: code, message.
pub const LIVEREEL_EVENT_WARNING: i32 = 9;
/// A finished file was removed, as the settings record_retention_* ask: path, file_name, size_bytes,
/// reason (max_age, max_size or min_free_space).
pub const LIVEREEL_EVENT_FILE_REMOVED: i32 = 10;
/// A publisher or camera went away; the session waits for it as long as the settings say: reason.
pub const LIVEREEL_EVENT_SESSION_INTERRUPTED: i32 = 11;
/// It is back, and its recordings go on: peer, away_ms.
pub const LIVEREEL_EVENT_SESSION_RESUMED: i32 = 12;

/// The numbers of the events by name. A number, once given, stays.
pub(crate) const TYPES: &[(&str, i32)] = &[
    ("listening", LIVEREEL_EVENT_LISTENING),
    ("session_published", LIVEREEL_EVENT_SESSION_PUBLISHED),
    ("session_ended", LIVEREEL_EVENT_SESSION_ENDED),
    ("recording_started", LIVEREEL_EVENT_RECORDING_STARTED),
    ("file_finished", LIVEREEL_EVENT_FILE_FINISHED),
    ("recovered", LIVEREEL_EVENT_RECOVERED),
    ("recording_finished", LIVEREEL_EVENT_RECORDING_FINISHED),
    ("recording_failed", LIVEREEL_EVENT_RECORDING_FAILED),
    ("warning", LIVEREEL_EVENT_WARNING),
    ("file_removed", LIVEREEL_EVENT_FILE_REMOVED),
    ("session_interrupted", LIVEREEL_EVENT_SESSION_INTERRUPTED),
    ("session_resumed", LIVEREEL_EVENT_SESSION_RESUMED),
];

/// One event, borrowed for the duration of the callback: copy what is to be kept. A text is NULL and
/// a number 0 where the event has no such fact.
#[repr(C)]
pub struct EventC {
    /// How many bytes of this struct the library filled in.
    pub struct_size: u32,
    /// What happened: LIVEREEL_EVENT_*.
    pub r#type: i32,
    /// 1, 2, 3 and so on, without a hole, for each engine.
    pub seq: u64,
    /// When, by the server's clock, in milliseconds since 1970.
    pub time_unix_ms: i64,
    /// What happened, in snake case.
    pub name: *const c_char,
    /// The whole event as one JSON object, with what has no field here (tracks, gaps).
    pub json: *const c_char,
    /// The media session: a UUID.
    pub media_session_id: *const c_char,
    /// The connection that the session came by.
    pub session_id: *const c_char,
    /// The name that it was published under.
    pub stream_name: *const c_char,
    /// Who published it; empty where that is not known.
    pub login: *const c_char,
    /// The recording: a UUID.
    pub recording_id: *const c_char,
    /// The way in: rtmp, http, https or webrtc.
    pub protocol: *const c_char,
    /// Where a listener listens: host:port.
    pub address: *const c_char,
    /// The other side of a session: host:port.
    pub peer: *const c_char,
    /// Why a session, a file or a recording ended.
    pub reason: *const c_char,
    /// The kind of a failure or warning.
    pub code: *const c_char,
    /// A sentence about a failure or warning.
    pub message: *const c_char,
    /// The absolute path of a file.
    pub path: *const c_char,
    /// The file's name within the record folder.
    pub file_name: *const c_char,
    /// mp4, ts or webm.
    pub container: *const c_char,
    /// The video codec, where the file has video.
    pub video_codec: *const c_char,
    /// The audio codec, where the file has audio.
    pub audio_codec: *const c_char,
    /// SHA-256 of the file in lower-case hex, where the setting record_file_sha256 asks for it.
    pub sha256: *const c_char,
    /// The number of the part, from 1.
    pub part: u32,
    /// How many parts a finished recording has.
    pub parts: u32,
    /// The length in bytes.
    pub size_bytes: u64,
    /// The first sample by the stream's own clock, in milliseconds.
    pub start_time_ms: i64,
    /// The end by the stream's own clock, in milliseconds.
    pub end_time_ms: i64,
    /// The start by the server's clock, in milliseconds since 1970.
    pub start_unix_ms: i64,
    /// The end by the server's clock, in milliseconds since 1970.
    pub end_unix_ms: i64,
    /// How long it plays, in milliseconds.
    pub duration_ms: i64,
    /// How long a source was away that is back, in milliseconds.
    pub away_ms: i64,
}

/// Called for every event, on the engine's one notifier thread, in order. It must not throw.
pub type EventCallback = Option<unsafe extern "C" fn(event: *const EventC, user_data: *mut c_void)>;

/// Called once, after the last call of the callback, to release its user_data. It must not throw.
pub type DropCallback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Calls `callback` for every event from now on. `user_data` is handed to every call; `drop`, unless
/// NULL, is called with it exactly once, after the last call: when the engine is gone or by
/// livereel_engine_off_event. Puts out the number for livereel_engine_off_event, unless `subscription`
/// is NULL. After a failure `drop` is not called: user_data stays the caller's. A slow callback delays
/// later events and nothing else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_engine_on_event(
    engine: *mut EngineHandle,
    callback: EventCallback,
    user_data: *mut c_void,
    drop: DropCallback,
    subscription: *mut u64,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("subscribe to events", error, |call| {
        // SAFETY: each is NULL or live or writable, by contract.
        let (running, place) = unsafe { (EngineHandle::get(call, engine)?, call.optional_output(subscription)) };
        let callback = callback.ok_or_else(|| call.invalid("callback is NULL"))?;
        // SAFETY: `get` answered, so it is live.
        let handle = unsafe { EngineHandle::share(engine) };
        let subscriber = Subscriber {
            callback,
            user_data,
            drop,
            handle,
        };
        let id = running.on_event(move |event| subscriber.deliver(event));
        place.write(id.0);
        Ok(())
    })
}

/// Ends a subscription: when it returns, the callback runs no more and `drop` was called. Called from
/// that very callback, `drop` follows when the callback has returned. A number that is not or no
/// longer in use is no failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_engine_off_event(
    engine: *mut EngineHandle,
    subscription: u64,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("end a subscription", error, |call| {
        // SAFETY: NULL or live, by contract.
        unsafe { EngineHandle::get(call, engine)? }.unsubscribe(SubscriptionId(subscription));
        Ok(())
    })
}

/// A callback of the host with what belongs to it.
struct Subscriber {
    callback: unsafe extern "C" fn(*const EventC, *mut c_void),
    user_data: *mut c_void,
    drop: DropCallback,
    handle: Arc<EngineHandle>,
}

// SAFETY: by the header's contract the callback runs on the notifier thread and `drop` on any, so
// user_data is for any thread.
unsafe impl Send for Subscriber {}

impl Subscriber {
    fn deliver(&self, event: &Event) {
        let texts = Texts::of(event);
        let event = texts.event(event);
        // SAFETY: the host's own function with the host's own data; the event lives until it returns.
        unsafe { (self.callback)(&raw const event, self.user_data) };
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if self.handle.is_forked() {
            return;
        }
        if let Some(drop) = self.drop {
            // SAFETY: the host's own function with the host's own data, once, after the last call.
            guard_value((), || unsafe { drop(self.user_data) });
        }
    }
}

/// The texts of one event, as C reads them.
pub(crate) struct Texts {
    fields: serde_json::Value,
    name: CString,
    json: CString,
    found: Vec<(&'static str, CString)>,
}

/// The fields of an event's JSON that are texts in [`EventC`].
const TEXT_FIELDS: &[&str] = &[
    "media_session_id",
    "session_id",
    "stream_name",
    "login",
    "recording_id",
    "protocol",
    "address",
    "peer",
    "reason",
    "code",
    "message",
    "path",
    "file_name",
    "container",
    "video_codec",
    "audio_codec",
    "sha256",
];

impl Texts {
    pub(crate) fn of(event: &Event) -> Self {
        let fields = event.to_json();
        let text = |key: &&'static str| Some((*key, c_string(fields.get(key)?.as_str()?)));
        Self {
            found: TEXT_FIELDS.iter().filter_map(text).collect(),
            name: c_string(event.name()),
            json: c_string(&fields.to_string()),
            fields,
        }
    }

    fn text(&self, key: &str) -> *const c_char {
        self.found
            .iter()
            .find(|(name, _)| *name == key)
            .map_or(ptr::null(), |(_, text)| text.as_ptr())
    }

    fn signed(&self, key: &str) -> i64 {
        self.fields
            .get(key)
            .and_then(serde_json::Value::as_i64)
            .unwrap_or_default()
    }

    fn unsigned(&self, key: &str) -> u64 {
        self.fields
            .get(key)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_default()
    }

    fn count(&self, key: &str) -> u32 {
        u32::try_from(self.unsigned(key)).unwrap_or(u32::MAX)
    }

    /// The event, borrowing from `self`.
    pub(crate) fn event(&self, event: &Event) -> EventC {
        EventC {
            struct_size: size_of::<EventC>() as u32,
            r#type: TYPES
                .iter()
                .find(|(name, _)| *name == event.name())
                .map_or(LIVEREEL_EVENT_OTHER, |(_, number)| *number),
            seq: event.seq,
            time_unix_ms: event.time.0,
            name: self.name.as_ptr(),
            json: self.json.as_ptr(),
            media_session_id: self.text("media_session_id"),
            session_id: self.text("session_id"),
            stream_name: self.text("stream_name"),
            login: self.text("login"),
            recording_id: self.text("recording_id"),
            protocol: self.text("protocol"),
            address: self.text("address"),
            peer: self.text("peer"),
            reason: self.text("reason"),
            code: self.text("code"),
            message: self.text("message"),
            path: self.text("path"),
            file_name: self.text("file_name"),
            container: self.text("container"),
            video_codec: self.text("video_codec"),
            audio_codec: self.text("audio_codec"),
            sha256: self.text("sha256"),
            part: self.count("part"),
            parts: self.count("parts"),
            size_bytes: self.unsigned("size_bytes"),
            start_time_ms: self.signed("start_time_ms"),
            end_time_ms: self.signed("end_time_ms"),
            start_unix_ms: self.signed("start_unix_ms"),
            end_unix_ms: self.signed("end_unix_ms"),
            duration_ms: self.signed("duration_ms"),
            away_ms: self.signed("away_ms"),
        }
    }
}
