/*
 * livereel: an embeddable recorder of live media streams.
 * Generated from ffi/src by cbindgen; do not edit.
 *
 * What holds for every function:
 *
 * Status. A function that can fail returns int32_t: LIVEREEL_OK (0), or a negative LIVEREEL_E_*
 * whose number never changes meaning. New numbers may come.
 *
 * Outputs. An output is written only on success, and `error` only on failure; what was there before
 * is not looked at, so begin with NULL. Where a description says so an output may be NULL; `error`
 * may always be NULL.
 *
 * Arguments. NULL where it is not allowed, text that is not UTF-8 and a wrong struct_size give
 * LIVEREEL_E_INVALID_ARGUMENT, and nothing was done.
 *
 * Ownership. The verb tells: what a `_new`, an `error` or a text output puts out is the caller's, to
 * be freed with the matching `_free` (texts: livereel_string_free), which takes NULL. Arguments are
 * borrowed for the call. What livereel_error_* return is borrowed from the error, what an event
 * points to is borrowed for the callback's duration.
 *
 * Texts. UTF-8, ended by a NUL. A text of unknown length is always put out as a `char *` that the
 * caller frees; there are no caller's buffers. A NUL within a text is shown as U+FFFD.
 *
 * Structs. Each begins with `uint32_t struct_size` and only grows at its end. In a struct that the
 * host fills in, it is the host's sizeof; a larger one than the library knows is taken as long as
 * the rest is zero (else LIVEREEL_E_UNSUPPORTED). In a struct that the library fills in, a field
 * is there if it lies within struct_size.
 *
 * Integers. Enumerations cross as int32_t with named constants, truth as int32_t (0 is false).
 *
 * Threads. Any thread may call any function of a live handle at any time. A handle is live until its
 * `_free` is called.
 *
 * Callbacks. They run on one notifier thread an engine, hold no lock of the library, and may call
 * back into it, livereel_engine_stop and livereel_engine_free included. `drop(user_data)` runs
 * exactly once, after the last call. No exception may leave a callback.
 *
 * Panics. A fault inside the library becomes LIVEREEL_E_INTERNAL; nothing unwinds into the caller.
 *
 * End. livereel_engine_free alone ends everything in bounded time (setting record_stop_timeout). The
 * library installs no signal handler, raises no SIGPIPE, and is never unloaded once loaded.
 *
 * Fork. In a child, livereel_engine_stop succeeds and does nothing, livereel_engine_free releases
 * memory only, and every other call on an engine of the parent answers LIVEREEL_E_FORKED. Settings
 * are plain data and of use in a child; so is a new engine.
 *
 * Double free. A build with debug assertions aborts with a sentence where a handle is freed twice or
 * used after its `_free`; a release build does not look.
 */

#ifndef LIVEREEL_H
#define LIVEREEL_H

#include <stddef.h>
#include <stdint.h>

// No options: livereel_record_options options = LIVEREEL_RECORD_OPTIONS_INIT;
#define LIVEREEL_RECORD_OPTIONS_INIT {(uint32_t)sizeof(livereel_record_options), NULL, NULL}

// An empty sample: livereel_sample sample = LIVEREEL_SAMPLE_INIT;
#define LIVEREEL_SAMPLE_INIT {(uint32_t)sizeof(livereel_sample), 0, 0, 0, 0, 0, NULL, NULL, NULL}

// Success.
#define LIVEREEL_OK 0

// An argument of the call is wrong: NULL, not UTF-8, a wrong struct_size, an unknown key or option.
#define LIVEREEL_E_INVALID_ARGUMENT -1

// One or several settings are wrong; the message lists all of them.
#define LIVEREEL_E_INVALID_CONFIG -2

// What the call names is not there.
#define LIVEREEL_E_NOT_FOUND -3

// What the call would make is there already.
#define LIVEREEL_E_ALREADY_EXISTS -4

// The call does not fit the state of the object (start of a started engine).
#define LIVEREEL_E_INVALID_STATE -5

// The call or format is known but not served.
#define LIVEREEL_E_UNSUPPORTED -6

// A limit on input or memory was met; the message has both numbers.
#define LIVEREEL_E_LIMIT_EXCEEDED -7

// Bytes that break their own format.
#define LIVEREEL_E_MALFORMED -8

// The operating system refused an input or output.
#define LIVEREEL_E_IO -9

// No space is left on the disk.
#define LIVEREEL_E_DISK_FULL -10

// A time limit ran out.
#define LIVEREEL_E_TIMEOUT -11

// The other side, or a stop, ended it first.
#define LIVEREEL_E_CANCELLED -12

// Not allowed: by permissions, a token or an authorize callback.
#define LIVEREEL_E_ACCESS_DENIED -13

// Cannot take more now; try again after a while.
#define LIVEREEL_E_BUSY -14

// The engine was made in another process, before a fork.
#define LIVEREEL_E_FORKED -15

// A fault of livereel itself (a caught panic); please report it.
#define LIVEREEL_E_INTERNAL -16

// An event that this version has no number for; its name tells.
#define LIVEREEL_EVENT_OTHER 0

// A listener is open: protocol, address.
#define LIVEREEL_EVENT_LISTENING 1

// A media session began: protocol, peer; the tracks are in json.
#define LIVEREEL_EVENT_SESSION_PUBLISHED 2

// A media session ended: reason.
#define LIVEREEL_EVENT_SESSION_ENDED 3

// A recording began: file_name, with elements that are not known yet left as they are written.
#define LIVEREEL_EVENT_RECORDING_STARTED 4

// A file is whole, under its final name, and on stable storage.
#define LIVEREEL_EVENT_FILE_FINISHED 5

// A file that a crash left is whole now.
#define LIVEREEL_EVENT_RECOVERED 6

// A recording is over: parts, and the sums size_bytes and duration_ms.
#define LIVEREEL_EVENT_RECORDING_FINISHED 7

// A recording was ended by a failure: code, message, path.
#define LIVEREEL_EVENT_RECORDING_FAILED 8

// Something that the host should know; recordings go on: code, message.
#define LIVEREEL_EVENT_WARNING 9

// A finished file was removed, as the settings record_retention_* ask: path, file_name, size_bytes,
// reason (max_age, max_size or min_free_space).
#define LIVEREEL_EVENT_FILE_REMOVED 10

// A publisher or camera went away; the session waits for it as long as the settings say: reason.
#define LIVEREEL_EVENT_SESSION_INTERRUPTED 11

// It is back, and its recordings go on: peer, away_ms.
#define LIVEREEL_EVENT_SESSION_RESUMED 12

// Settings. Plain data: it may be used in a forked child too.
typedef struct livereel_config livereel_config;

// An engine: listeners, sessions, recordings and event delivery.
typedef struct livereel_engine livereel_engine;

// Why a call failed. Comes from an `error` out-parameter; the caller frees it.
typedef struct livereel_error livereel_error;

// A stream whose encoded samples the host hands in.
typedef struct livereel_push livereel_push;

// One event, borrowed for the duration of the callback: copy what is to be kept. A text is NULL and
// a number 0 where the event has no such fact.
typedef struct {
    // How many bytes of this struct the library filled in.
    uint32_t struct_size;
    // What happened: LIVEREEL_EVENT_*.
    int32_t type;
    // 1, 2, 3 and so on, without a hole, for each engine.
    uint64_t seq;
    // When, by the server's clock, in milliseconds since 1970.
    int64_t time_unix_ms;
    // What happened, in snake case.
    const char *name;
    // The whole event as one JSON object, with what has no field here (tracks, gaps).
    const char *json;
    // The media session: a UUID.
    const char *media_session_id;
    // The connection that the session came by.
    const char *session_id;
    // The name that it was published under.
    const char *stream_name;
    // Who published it; empty where that is not known.
    const char *login;
    // The recording: a UUID.
    const char *recording_id;
    // The way in: rtmp, http, https or webrtc.
    const char *protocol;
    // Where a listener listens: host:port.
    const char *address;
    // The other side of a session: host:port.
    const char *peer;
    // Why a session, a file or a recording ended.
    const char *reason;
    // The kind of a failure or warning.
    const char *code;
    // A sentence about a failure or warning.
    const char *message;
    // The absolute path of a file.
    const char *path;
    // The file's name within the record folder.
    const char *file_name;
    // mp4, ts or webm.
    const char *container;
    // The video codec, where the file has video.
    const char *video_codec;
    // The audio codec, where the file has audio.
    const char *audio_codec;
    // SHA-256 of the file in lower-case hex, where the setting record_file_sha256 asks for it.
    const char *sha256;
    // The number of the part, from 1.
    uint32_t part;
    // How many parts a finished recording has.
    uint32_t parts;
    // The length in bytes.
    uint64_t size_bytes;
    // The first sample by the stream's own clock, in milliseconds.
    int64_t start_time_ms;
    // The end by the stream's own clock, in milliseconds.
    int64_t end_time_ms;
    // The start by the server's clock, in milliseconds since 1970.
    int64_t start_unix_ms;
    // The end by the server's clock, in milliseconds since 1970.
    int64_t end_unix_ms;
    // How long it plays, in milliseconds.
    int64_t duration_ms;
    // How long a source was away that is back, in milliseconds.
    int64_t away_ms;
} livereel_event;

// Called for every event, on the engine's one notifier thread, in order. It must not throw.
typedef void (*livereel_event_callback)(const livereel_event *event, void *user_data);

// Called once, after the last call of the callback, to release its user_data. It must not throw.
typedef void (*livereel_drop_callback)(void *user_data);

// What livereel_recording_start is told. Begin with LIVEREEL_RECORD_OPTIONS_INIT; NULL in a field
// means as the settings say.
typedef struct {
    // sizeof(livereel_record_options).
    uint32_t struct_size;
    // A file-name template (setting stream_record_policy_template), or NULL.
    const char *file_template;
    // A rotation (setting record_rotation), or NULL.
    const char *rotation;
} livereel_record_options;

// Called once, on any thread, when the library needs the bytes of a sample no more. It must neither
// throw nor call into the library.
typedef void (*livereel_release_callback)(void *user_data);

// One access unit or frame. Begin with LIVEREEL_SAMPLE_INIT.
typedef struct {
    // sizeof(livereel_sample).
    uint32_t struct_size;
    // The number that livereel_push_track put out.
    uint32_t track;
    // When it is shown, in ticks of the track's timescale.
    int64_t pts;
    // When it is decoded, likewise; the same as pts where pictures are not reordered.
    int64_t dts;
    // Not 0 where decoding can start here; taken from the payload where that tells.
    int32_t key;
    // Bytes of the payload.
    uint32_t size;
    // The payload.
    const uint8_t *data;
    // NULL: the bytes are copied. Otherwise they are used as they lie, must not change, and the
    // library calls this once it is done with them.
    livereel_release_callback release;
    // What `release` is called with.
    void *release_data;
} livereel_sample;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library that runs, for example `0.1.0`. It lives as long as the process.
const char *livereel_version(void);

// The name of a status in snake case: `ok`, `invalid_argument` and so on, `unknown` for a number
// that is none. It lives as long as the process.
const char *livereel_status_name(int32_t status);

// The status that the call returned with this error; `LIVEREEL_OK` for NULL.
int32_t livereel_error_status(const livereel_error *error);

// The whole sentence: what was tried, what went wrong, with which values. Borrowed from the error;
// NULL for NULL.
const char *livereel_error_message(const livereel_error *error);

// What was tried, a verb and its object, for example `open the record folder`. Borrowed from the
// error; NULL for NULL.
const char *livereel_error_operation(const livereel_error *error);

// Whether (1) or not (0) the same call may succeed later without anything being changed.
int32_t livereel_error_may_retry(const livereel_error *error);

// Frees an error. NULL is allowed.
void livereel_error_free(livereel_error *error);

// Frees a text that a function of livereel put out. NULL is allowed.
void livereel_string_free(char *string);

// Puts out new settings, all with their defaults. The caller frees them with livereel_config_free.
int32_t livereel_config_new(livereel_config **config, livereel_error **error);

// Sets one key, as text: `livereel_config_set(config, "rtmp_listen", "127.0.0.1:0", &error)`.
// The keys are those of the settings table of the documentation. LIVEREEL_E_INVALID_ARGUMENT for a
// key that does not exist; whether the values fit is checked as a whole by livereel_engine_new.
int32_t livereel_config_set(livereel_config *config,
                            const char *key,
                            const char *value,
                            livereel_error **error);

// Loads a `.toml` or `.properties` file. LIVEREEL_E_INVALID_CONFIG for a broken one, else what the
// file system answers.
int32_t livereel_config_load(livereel_config *config, const char *path, livereel_error **error);

// Frees settings. NULL is allowed. Engines made with them are not concerned.
void livereel_config_free(livereel_config *config);

// Puts out a new engine with a copy of `config`, which stays the caller's. It opens no socket and no
// folder yet. LIVEREEL_E_INVALID_CONFIG, its message listing every problem, where settings do not
// fit. The caller frees it with livereel_engine_free.
int32_t livereel_engine_new(const livereel_config *config,
                            livereel_engine **engine,
                            livereel_error **error);

// Opens the folders, finishes what a crash left, and opens the listeners; returns when all listen
// (each is a `listening` event too). LIVEREEL_E_INVALID_STATE for an engine that was started before,
// else what folders and sockets answer. After a failure nothing is open, and it may be tried again.
int32_t livereel_engine_start(livereel_engine *engine,
                              livereel_error **error);

// Ends every session, finishes every file, delivers the last events, and returns when all is done.
// Calling it again is fine. It waits `timeout_ms` at most; a negative one means as the setting
// record_stop_timeout says. Called from an event callback it begins the stop and returns at once.
// In a forked child it does nothing and succeeds. LIVEREEL_E_TIMEOUT where files are not finished by
// then: they go on being finished.
int32_t livereel_engine_stop(livereel_engine *engine,
                             int64_t timeout_ms,
                             livereel_error **error);

// Stops the engine as livereel_engine_stop with a negative time-out does, then frees it. NULL is
// allowed. When it returns, every callback had its last call and its `drop`, unless the time ran out.
// Called from an event callback it returns at once, and other threads finish the work. When it was
// called, the handle is gone for everybody but callbacks that run meanwhile. In a forked child it
// releases memory and does nothing else: no file, socket or callback is touched.
void livereel_engine_free(livereel_engine *engine);

// Puts out where the listener of `protocol` (`rtmp`, `http`, `https`, `webrtc`) listens, as
// `host:port`; with port 0 in the setting this tells the port. The caller frees the text with
// livereel_string_free. LIVEREEL_E_NOT_FOUND where there is no such listener, or none yet.
int32_t livereel_engine_address(const livereel_engine *engine,
                                const char *protocol,
                                char **address,
                                livereel_error **error);

// Puts out the running media sessions as a JSON array (`[]` for none), each an object with
// media_session_id, stream_name, protocol, peer, tracks, counters and what the publisher told of
// itself. The caller frees the text with livereel_string_free.
int32_t livereel_engine_sessions_json(const livereel_engine *engine,
                                      char **sessions,
                                      livereel_error **error);

// Puts out the running recordings as a JSON array (`[]` for none), each an object with recording_id,
// media_session_id, file_name, part, duration_ms, size_bytes and paused. The caller frees the text
// with livereel_string_free.
int32_t livereel_engine_recordings_json(const livereel_engine *engine,
                                        char **recordings,
                                        livereel_error **error);

// Finishes growing files that dead engines left in the record folders, as livereel_engine_start does
// by itself; works on an engine that is not started. Each gives a `recovered` event. Puts them out as
// a JSON array too, unless `files` is NULL; the caller frees the text with livereel_string_free. One
// unreadable file is a warning event, not a failure.
int32_t livereel_engine_recover(livereel_engine *engine,
                                char **files,
                                livereel_error **error);

// Calls `callback` for every event from now on. `user_data` is handed to every call; `drop`, unless
// NULL, is called with it exactly once, after the last call: when the engine is gone or by
// livereel_engine_off_event. Puts out the number for livereel_engine_off_event, unless `subscription`
// is NULL. After a failure `drop` is not called: user_data stays the caller's. A slow callback delays
// later events and nothing else.
int32_t livereel_engine_on_event(livereel_engine *engine,
                                 livereel_event_callback callback,
                                 void *user_data,
                                 livereel_drop_callback drop,
                                 uint64_t *subscription,
                                 livereel_error **error);

// Ends a subscription: when it returns, the callback runs no more and `drop` was called. Called from
// that very callback, `drop` follows when the callback has returned. A number that is not or no
// longer in use is no failure.
int32_t livereel_engine_off_event(livereel_engine *engine,
                                  uint64_t subscription,
                                  livereel_error **error);

// Ends a media session: the publisher is disconnected, its files are finished. LIVEREEL_E_NOT_FOUND
// where no session has this id, LIVEREEL_E_INVALID_STATE where it has just ended.
int32_t livereel_session_terminate(livereel_engine *engine,
                                   const char *media_session_id,
                                   livereel_error **error);

// Asks the source of a session for a key frame; sources that cannot be asked (RTMP, RTSP) ignore it.
// LIVEREEL_E_NOT_FOUND where no session has this id.
int32_t livereel_session_request_key_frame(livereel_engine *engine,
                                           const char *media_session_id,
                                           livereel_error **error);

// Starts one more recording of a media session. `options` may be NULL. Puts out the recording's id,
// unless `recording_id` is NULL; the caller frees it with livereel_string_free.
// LIVEREEL_E_INVALID_ARGUMENT names a wrong option, LIVEREEL_E_NOT_FOUND where no session has this
// id, LIVEREEL_E_INVALID_STATE where it has just ended.
int32_t livereel_recording_start(livereel_engine *engine,
                                 const char *media_session_id,
                                 const livereel_record_options *options,
                                 char **recording_id,
                                 livereel_error **error);

// Begins a new part at the next key frame. LIVEREEL_E_NOT_FOUND where no recording has this id,
// LIVEREEL_E_INVALID_STATE where it has just ended or its session is in a room.
int32_t livereel_recording_rotate(livereel_engine *engine,
                                  const char *recording_id,
                                  livereel_error **error);

// Leaves out what comes from now on. The pause is cut out of the timeline, or stays as a gap where
// `keep_gap` is not 0. LIVEREEL_E_NOT_FOUND where no recording has this id, LIVEREEL_E_INVALID_STATE
// where it has just ended.
int32_t livereel_recording_pause(livereel_engine *engine,
                                 const char *recording_id,
                                 int32_t keep_gap,
                                 livereel_error **error);

// Goes on after livereel_recording_pause, from the next key frame; nothing happens where it is not
// paused. LIVEREEL_E_NOT_FOUND where no recording has this id, LIVEREEL_E_INVALID_STATE where it has
// just ended.
int32_t livereel_recording_resume(livereel_engine *engine,
                                  const char *recording_id,
                                  livereel_error **error);

// Ends a recording; its session goes on. With `timeout_ms` above 0 it returns when the files are
// finished, or LIVEREEL_E_TIMEOUT after so long; with 0 or less it does not wait. The files come as
// events either way. LIVEREEL_E_NOT_FOUND where no recording has this id, LIVEREEL_E_INVALID_STATE
// where it has just ended.
int32_t livereel_recording_stop(livereel_engine *engine,
                                const char *recording_id,
                                int64_t timeout_ms,
                                livereel_error **error);

// Begins a stream that the host pushes. `record` is 1 or 0, or negative for what the setting
// record_pushed_streams says; `login` and `room` may be NULL. The caller ends and frees it with
// livereel_push_free. LIVEREEL_E_INVALID_STATE where the engine does not run,
// LIVEREEL_E_INVALID_ARGUMENT where the name is in use or too long.
int32_t livereel_push_new(livereel_engine *engine,
                          const char *stream_name,
                          int32_t record,
                          const char *login,
                          const char *room,
                          livereel_push **push,
                          livereel_error **error);

// Puts out the UUID of the stream's media session; the caller frees it with livereel_string_free.
int32_t livereel_push_session_id(livereel_push *push,
                                 char **media_session_id,
                                 livereel_error **error);

// Declares a track, before its first sample, and puts out its number. `codec` is "h264", "aac" and
// so on; `config` its headers (an AVCDecoderConfigurationRecord, an AudioSpecificConfig), or NULL
// where the samples carry them (Annex B, ADTS); `timescale` the ticks a second of its timestamps, 0
// for 1000. LIVEREEL_E_INVALID_ARGUMENT names the codecs that there are, LIVEREEL_E_MALFORMED for
// broken headers.
int32_t livereel_push_track(livereel_push *push,
                            const char *codec,
                            const uint8_t *config,
                            size_t config_size,
                            uint32_t timescale,
                            uint32_t *track,
                            livereel_error **error);

// Hands in a sample. Never blocks. LIVEREEL_E_BUSY where a recording is behind: push it again after
// livereel_push_wait. LIVEREEL_E_MALFORMED for the payload, LIVEREEL_E_NOT_FOUND for the track,
// LIVEREEL_E_CANCELLED where the engine or a REST client ended the stream. After any failure nothing
// was taken, and `release` is not called: the bytes stay the caller's.
int32_t livereel_push_sample(livereel_push *push,
                             const livereel_sample *sample,
                             livereel_error **error);

// Waits until a sample would be taken again, `timeout_ms` at most: LIVEREEL_E_TIMEOUT then.
int32_t livereel_push_wait(livereel_push *push, int64_t timeout_ms, livereel_error **error);

// Ends the stream: its files are finished, with their events. LIVEREEL_E_INVALID_STATE where it has
// ended. The handle is still to be freed.
int32_t livereel_push_end(livereel_push *push, livereel_error **error);

// Ends the stream where it has not ended, and frees the handle. NULL is allowed. In a forked child it
// releases memory only.
void livereel_push_free(livereel_push *push);

// Pulls a stream from another server: rtsp:// or rtmp://, credentials in the URL. Returns at once; a
// source that is away or goes away is tried again until livereel_session_terminate, and one recording
// covers it all. `stream_name` is its name here, NULL for the last part of the URL; `record` 1 or 0,
// or negative for what the settings say; `login` and `room` may be NULL; `transport` is "tcp" or
// "udp" for RTSP, or NULL for the setting rtsp_transport; `options` say how it is recorded, NULL for
// as the settings do. Puts out the media session's id, unless `media_session_id` is NULL; the caller
// frees it with livereel_string_free. LIVEREEL_E_INVALID_ARGUMENT names what is wrong,
// LIVEREEL_E_INVALID_STATE where the engine does not run.
int32_t livereel_pull_start(livereel_engine *engine,
                            const char *url,
                            const char *stream_name,
                            int32_t record,
                            const char *login,
                            const char *room,
                            const char *transport,
                            const livereel_record_options *options,
                            char **media_session_id,
                            livereel_error **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LIVEREEL_H */
