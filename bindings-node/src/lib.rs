//! Gets calls of `index.js`, on Node's main thread.
//! Gives each to one method of the engine: guard, check, one call, convert.
//!
//! Errors cross as JSON in the message of a plain `Error`; `index.js` makes a `LivereelError` of it.
//! Blocking calls run on libuv's pool and come back as promises.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use livereel::engine::events::EVENT_NAMES;
use livereel::engine::{Config, Engine, PullOptions, Push, PushOptions, Pushed, RecordOptions};
use livereel::ingest::pull::RtspTransport;
use livereel::ingest::push::{PushSample, TrackSpec};
use livereel::media::{ErrorKind, TrackId};
use napi::bindgen_prelude::{AsyncTask, Env, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode, UnknownReturnValue};
use napi::{Error, Result, ScopedTask, Status};
use napi_derive::napi;
use parking_lot::Mutex;

/// An event as JSON text, or `null` after the last one.
type EventSink = ThreadsafeFunction<Option<String>, UnknownReturnValue, Option<String>, Status, false, true>;

/// The engine as `index.js` holds it.
///
/// Collected without a stop, it stops the engine and finishes its files first.
#[napi]
pub struct NativeEngine {
    engine: Engine,
    at_exit: AtExit,
}

/// What Node's exit has to stop; emptied when the engine is collected before.
type AtExit = Arc<Mutex<Option<Engine>>>;

impl Drop for NativeEngine {
    fn drop(&mut self) {
        let at_exit = self.at_exit.lock().take();
        drop(at_exit);
    }
}

/// Tells JavaScript that no event follows, when the engine lets go of its callback.
struct Sink(EventSink);

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.call(None, ThreadsafeFunctionCallMode::NonBlocking);
    }
}

#[napi]
impl NativeEngine {
    /// An engine with settings as text; `on_event` is called with each event as JSON.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: Env,
        settings: HashMap<String, String>,
        config_file: Option<String>,
        on_event: Function<'_, Option<String>, UnknownReturnValue>,
    ) -> Result<Self> {
        let mut config = Config::new();
        if let Some(path) = config_file {
            config.load_file(Path::new(&path)).map_err(|error| convert(&error))?;
        }
        for (key, value) in settings {
            config.set(&key, &value).map_err(|error| convert(&error))?;
        }
        let sink: EventSink = on_event.build_threadsafe_function().weak::<true>().build()?;
        let sink = Arc::new(Sink(sink));
        let engine = Engine::new(config).map_err(|error| convert(&error))?;
        let told = Arc::clone(&sink);
        engine.on_event(move |event| {
            told.0.call(
                Some(event.to_json().to_string()),
                ThreadsafeFunctionCallMode::NonBlocking,
            );
        });
        let at_exit = Arc::new(Mutex::new(Some(engine.clone())));
        env.add_env_cleanup_hook(Arc::clone(&at_exit), |at_exit: AtExit| stop_at_exit(&at_exit))?;
        Ok(Self { engine, at_exit })
    }

    /// Starts the engine.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn start(&self) -> AsyncTask<Call> {
        self.call(|engine| engine.start().map(|()| serde_json::Value::Null))
    }

    /// Stops the engine; `timeout_ms` of `None` waits `record_stop_timeout`.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn stop(&self, timeout_ms: Option<f64>) -> AsyncTask<Call> {
        self.call(move |engine| engine.stop(duration(timeout_ms)).map(|()| serde_json::Value::Null))
    }

    /// Stops the engine and waits for it here, on the main thread: for `process.exit`.
    #[napi(catch_unwind)]
    pub fn stop_at_exit(&self) {
        stop_at_exit(&self.at_exit);
    }

    /// Finishes what a crash left; JSON of the files.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn recover(&self) -> AsyncTask<Call> {
        self.call(|engine| engine.recover().map(|files| to_json(&files)))
    }

    /// Where a listener listens.
    #[napi(catch_unwind)]
    pub fn address(&self, protocol: String) -> Option<String> {
        self.engine.address(&protocol).map(|address| address.to_string())
    }

    /// JSON of the running sessions.
    #[napi(catch_unwind)]
    pub fn sessions(&self) -> String {
        to_json(&self.engine.sessions()).to_string()
    }

    /// JSON of the running recordings.
    #[napi(catch_unwind)]
    pub fn recordings(&self) -> String {
        to_json(&self.engine.recordings()).to_string()
    }

    /// Starts a recording; its id.
    #[napi(catch_unwind)]
    pub fn record(
        &self,
        media_session_id: String,
        template: Option<String>,
        rotation: Option<String>,
    ) -> Result<String> {
        let session = self
            .engine
            .session(&media_session_id)
            .map_err(|error| convert(&error))?;
        let recording = session
            .record(RecordOptions { template, rotation })
            .map_err(|error| convert(&error))?;
        Ok(recording.id().to_owned())
    }

    /// Ends a session.
    #[napi(catch_unwind)]
    pub fn terminate(&self, media_session_id: String) -> Result<()> {
        let ended = self
            .engine
            .session(&media_session_id)
            .and_then(|session| session.terminate());
        ended.map_err(|error| convert(&error))
    }

    /// Begins a new part.
    #[napi(catch_unwind)]
    pub fn rotate(&self, recording_id: String) -> Result<()> {
        let rotated = self
            .engine
            .recording(&recording_id)
            .and_then(|recording| recording.rotate());
        rotated.map_err(|error| convert(&error))
    }

    /// Pauses a recording.
    #[napi(catch_unwind)]
    pub fn pause(&self, recording_id: String, keep_gap: bool) -> Result<()> {
        let paused = self
            .engine
            .recording(&recording_id)
            .and_then(|recording| recording.pause(keep_gap));
        paused.map_err(|error| convert(&error))
    }

    /// Resumes a recording.
    #[napi(catch_unwind)]
    pub fn resume(&self, recording_id: String) -> Result<()> {
        let resumed = self
            .engine
            .recording(&recording_id)
            .and_then(|recording| recording.resume());
        resumed.map_err(|error| convert(&error))
    }

    /// Stops a recording and waits for its files.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn stop_recording(&self, recording_id: String, timeout_ms: f64) -> AsyncTask<Call> {
        self.call(move |engine| {
            let stopped = engine.recording(&recording_id)?.stop(duration(Some(timeout_ms)));
            stopped.map(|()| serde_json::Value::Null)
        })
    }

    /// Asks the source of a session for a key frame.
    #[napi(catch_unwind)]
    pub fn request_key_frame(&self, media_session_id: String) -> Result<()> {
        let asked = self.engine.session(&media_session_id);
        asked
            .map(|session| session.request_key_frame())
            .map_err(|error| convert(&error))
    }

    /// Begins a stream that the host pushes.
    #[napi(catch_unwind)]
    pub fn push(
        &self,
        stream_name: String,
        record: Option<bool>,
        login: Option<String>,
        room: Option<String>,
    ) -> Result<NativePush> {
        let options = PushOptions {
            record,
            login: login.unwrap_or_default(),
            room: room.unwrap_or_default(),
        };
        let push = self
            .engine
            .push(&stream_name, &options)
            .map_err(|error| convert(&error))?;
        Ok(NativePush {
            push,
            engine: self.engine.clone(),
        })
    }

    /// Pulls a stream from another server; gives the media session's id.
    #[napi(catch_unwind)]
    pub fn pull(&self, url: String, options: PullCall) -> Result<String> {
        let transport = match options.transport.as_deref() {
            None => Ok(None),
            Some(text) => RtspTransport::parse(text).map(Some).ok_or_else(|| {
                livereel::media::Error::new(
                    ErrorKind::InvalidArgument,
                    "pull a stream",
                    "transport is not tcp or udp",
                )
                .with("transport", text.escape_debug())
            }),
        };
        let session = transport.and_then(|transport| {
            let options = PullOptions {
                stream_name: options.stream_name.unwrap_or_default(),
                record: options.record,
                login: options.login.unwrap_or_default(),
                room: options.room.unwrap_or_default(),
                transport,
                recording: RecordOptions {
                    template: options.template,
                    rotation: options.rotation,
                },
            };
            self.engine.pull(&url, &options)
        });
        session
            .map(|session| session.id().to_owned())
            .map_err(|error| convert(&error))
    }

    fn call(
        &self,
        call: impl FnOnce(&Engine) -> livereel::media::Result<serde_json::Value> + Send + 'static,
    ) -> AsyncTask<Call> {
        AsyncTask::new(Call {
            engine: self.engine.clone(),
            call: Some(Box::new(call)),
        })
    }
}

/// What `index.js` hands on of a pull.
#[napi(object, object_to_js = false)]
pub struct PullCall {
    /// Its name here.
    pub stream_name: Option<String>,
    /// Whether it is recorded from its start.
    pub record: Option<bool>,
    /// `{login}` of file names.
    pub login: Option<String>,
    /// Its room.
    pub room: Option<String>,
    /// `tcp` or `udp`.
    pub transport: Option<String>,
    /// File-name template of its first recording.
    pub template: Option<String>,
    /// Rotation of its first recording.
    pub rotation: Option<String>,
}

/// A stream that the host pushes.
#[napi]
pub struct NativePush {
    push: Push,
    engine: Engine,
}

#[napi]
impl NativePush {
    /// Its media session's UUID.
    #[napi(catch_unwind)]
    pub fn media_session_id(&self) -> String {
        self.push.session().id().to_owned()
    }

    /// Declares a track; its number.
    #[napi(catch_unwind)]
    pub fn track(&self, codec: String, config: &[u8], timescale: u32) -> Result<u32> {
        let declared = self.push.track(&spec(codec, config, timescale));
        declared.map(|track| track.0).map_err(|error| convert(&error))
    }

    /// Declares new headers for a track.
    #[napi(catch_unwind)]
    pub fn reconfigure(&self, track: u32, codec: String, config: &[u8], timescale: u32) -> Result<()> {
        let declared = self.push.reconfigure(TrackId(track), &spec(codec, config, timescale));
        declared.map_err(|error| convert(&error))
    }

    /// Hands in a sample; `false` where nothing was taken. The bytes are copied once: JavaScript may
    /// change its buffer at once.
    #[napi(catch_unwind)]
    pub fn push(&self, track: u32, data: &[u8], pts: i64, dts: i64, key: bool) -> Result<bool> {
        let pushed = self.push.push(PushSample {
            track: TrackId(track),
            pts,
            dts,
            key,
            data: Bytes::copy_from_slice(data),
        });
        pushed
            .map(|pushed| pushed == Pushed::Taken)
            .map_err(|error| convert(&error))
    }

    /// Waits until a sample would be taken; JSON of whether it would.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn wait(&self, timeout_ms: f64) -> AsyncTask<Call> {
        let push = self.push.clone();
        AsyncTask::new(Call {
            engine: self.engine.clone(),
            call: Some(Box::new(move |_| {
                let room = push.wait_for_room(duration(Some(timeout_ms)).unwrap_or_default())?;
                Ok(serde_json::Value::Bool(room))
            })),
        })
    }

    /// Ends the stream.
    #[napi(catch_unwind)]
    pub fn end(&self) -> Result<()> {
        self.push.end().map_err(|error| convert(&error))
    }
}

fn spec(codec: String, config: &[u8], timescale: u32) -> TrackSpec {
    TrackSpec {
        codec,
        config: Bytes::copy_from_slice(config),
        timescale,
    }
}

/// Node is leaving: files are finished within `record_stop_timeout`, or recovered later.
fn stop_at_exit(at_exit: &AtExit) {
    let engine = at_exit.lock().take();
    let _ = engine.map(|engine| engine.stop(None));
}

/// The names that `index.js` has to know: event names and error codes.
#[napi(catch_unwind)]
pub fn vocabulary() -> String {
    let codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
    serde_json::json!({ "events": EVENT_NAMES, "codes": codes, "settings": Config::keys() }).to_string()
}

type Blocking = Box<dyn FnOnce(&Engine) -> livereel::media::Result<serde_json::Value> + Send>;

/// A blocking call, for libuv's pool.
pub struct Call {
    engine: Engine,
    call: Option<Blocking>,
}

impl<'env> ScopedTask<'env> for Call {
    type Output = serde_json::Value;
    type JsValue = String;

    fn compute(&mut self) -> Result<Self::Output> {
        let Some(call) = self.call.take() else {
            return Ok(serde_json::Value::Null);
        };
        let engine = &self.engine;
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(engine)));
        match ran {
            Ok(result) => result.map_err(|error| convert(&error)),
            Err(_) => Err(convert(&livereel::media::Error::new(
                ErrorKind::Internal,
                "serve a call",
                "a fault of livereel; please report it",
            ))),
        }
    }

    fn resolve(&mut self, _env: &'env Env, output: Self::Output) -> Result<Self::JsValue> {
        Ok(output.to_string())
    }
}

fn duration(ms: Option<f64>) -> Option<Duration> {
    ms.and_then(|ms| Duration::try_from_secs_f64(ms.max(0.0) / 1000.0).ok())
}

fn to_json<T: serde::Serialize>(value: &T) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// An error as `index.js` reads it.
fn convert(error: &livereel::media::Error) -> Error {
    let context: serde_json::Map<_, _> = error
        .context()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let json = serde_json::json!({
        "code": error.kind().name(),
        "message": error.to_string(),
        "operation": error.operation(),
        "mayRetry": error.may_retry(),
        "context": context,
    });
    Error::new(Status::GenericFailure, json.to_string())
}
