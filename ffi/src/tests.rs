//! Gets the tables and structs of this crate.
//! Gives a failure where they differ from the core's, or from what a C compiler makes of the header.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::sync::Arc;

use livereel_core::engine::events::EVENT_NAMES;
use livereel_core::engine::{Event, EventBody, RemovalReason, SessionIdentity};
use livereel_core::ingest::{EndReason, Protocol};
use livereel_core::media::{Container, ErrorKind, UnixMs};
use livereel_core::recording::report::{FinishedFile, PartEnd};

use crate::call::{guard, guard_value};
use crate::error::{livereel_error_free, livereel_error_may_retry, livereel_error_message, livereel_error_status};
use crate::event::{EventC, TYPES, Texts};
use crate::push::{ReleaseCallback, SampleC};
use crate::recording::RecordOptionsC;
use crate::status::{LIVEREEL_E_INTERNAL, LIVEREEL_OK, livereel_status_name};

fn header() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../include/livereel.h")).unwrap()
}

/// The constants of the header that begin with `prefix`, with their numbers.
fn constants(prefix: &str) -> BTreeSet<(String, i32)> {
    let header = header();
    let define = |line: &str| {
        let (name, number) = line.strip_prefix("#define ")?.split_once(' ')?;
        Some((
            name.strip_prefix(prefix)?.to_lowercase(),
            number.trim_matches(['(', ')']).parse().ok()?,
        ))
    };
    header.lines().filter_map(define).collect()
}

fn text<'a>(pointer: *const c_char) -> &'a str {
    // SAFETY: the tests read texts that live.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap()
}

#[test]
fn every_kind_of_error_has_its_status_and_every_status_its_kind() {
    let kinds: BTreeSet<_> = ErrorKind::ALL
        .iter()
        .map(|kind| (kind.name().to_owned(), -kind.number()))
        .collect();
    assert_eq!(constants("LIVEREEL_E_"), kinds);
    for (name, status) in kinds {
        assert_eq!(text(livereel_status_name(status)), name);
    }
    for (status, name) in [(0, "ok"), (1, "unknown"), (-99, "unknown"), (i32::MIN, "unknown")] {
        assert_eq!(text(livereel_status_name(status)), name);
    }
}

#[test]
fn every_event_of_the_core_has_its_number_and_numbers_are_given_once() {
    let names: BTreeSet<_> = TYPES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, EVENT_NAMES.iter().copied().collect());
    let numbers: BTreeSet<_> = TYPES.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers.len(), TYPES.len());
    let mut table: BTreeSet<_> = TYPES
        .iter()
        .map(|(name, number)| ((*name).to_owned(), *number))
        .collect();
    table.insert(("other".to_owned(), 0));
    assert_eq!(constants("LIVEREEL_EVENT_"), table);
}

#[test]
fn a_panic_becomes_internal_with_its_text_and_never_unwinds() {
    let mut error = ptr::null_mut();
    assert_eq!(
        guard("try it", &raw mut error, |_| panic!("at number {}", 7)),
        LIVEREEL_E_INTERNAL
    );
    // SAFETY: the guard put a live error out.
    unsafe {
        assert_eq!(livereel_error_status(error), LIVEREEL_E_INTERNAL);
        assert_eq!(
            text(livereel_error_message(error)),
            "cannot try it: a panic: at number 7"
        );
        assert_eq!(livereel_error_may_retry(error), 0);
        livereel_error_free(error);
    }
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    assert_eq!(
        guard("try it", ptr::null_mut(), |_| std::panic::panic_any(Bomb)),
        LIVEREEL_E_INTERNAL
    );
    assert_eq!(guard_value(3, || std::panic::panic_any(Bomb)), 3);
    assert_eq!(guard("try it", ptr::null_mut(), |_| Ok(())), LIVEREEL_OK);
}

fn event(body: EventBody) -> Event {
    Event {
        body,
        seq: 7,
        time: UnixMs(1_600_000_000_123),
        session: Some(Arc::new(SessionIdentity {
            media_session_id: "m".into(),
            session_id: "s".into(),
            stream_name: "a\0b".into(),
            login: String::new(),
        })),
        recording_id: Some("r".into()),
    }
}

fn one_of_each() -> Vec<Event> {
    let file = FinishedFile {
        path: PathBuf::from("/records/a.mp4"),
        file_name: "a.mp4".into(),
        part: 2,
        size_bytes: u64::MAX,
        container: Container::Mp4,
        video_codec: Some("h264".into()),
        audio_codec: Some("aac".into()),
        start_time_ms: -1,
        end_time_ms: 2,
        start_unix_ms: UnixMs(3),
        end_unix_ms: UnixMs(4),
        duration_ms: 5,
        reason: PartEnd::RotationSize,
        tracks: Vec::new(),
        sha256: Some("00".into()),
    };
    let text = || "x".to_owned();
    vec![
        event(EventBody::Listening {
            protocol: text(),
            address: text(),
        }),
        event(EventBody::SessionPublished {
            protocol: Protocol::Rtmp,
            peer: text(),
            tracks: Vec::new(),
        }),
        event(EventBody::SessionEnded {
            reason: EndReason::Idle,
            link: None,
        }),
        event(EventBody::RecordingStarted { file_name: text() }),
        event(EventBody::FileFinished(file.clone())),
        event(EventBody::Recovered(file)),
        event(EventBody::RecordingFinished {
            parts: 3,
            size_bytes: 4,
            duration_ms: 5,
            reason: PartEnd::Stopped,
        }),
        event(EventBody::RecordingFailed {
            code: text(),
            message: text(),
            path: text(),
        }),
        event(EventBody::Warning {
            code: text(),
            message: text(),
        }),
        event(EventBody::FileRemoved {
            path: text(),
            file_name: text(),
            size_bytes: 3,
            reason: RemovalReason::MaxSize,
        }),
        event(EventBody::SessionInterrupted {
            reason: EndReason::ConnectionLost,
        }),
        event(EventBody::SessionResumed {
            peer: text(),
            away_ms: 9,
        }),
    ]
}

/// Field by field: name, offset in Rust, and its value as JSON would show it (`None`: a NULL text).
fn told(event: &EventC) -> Vec<(&'static str, usize, Option<String>)> {
    fields::<EventC>()
        .into_iter()
        .map(|(name, offset, read)| (name, offset, read(event)))
        .collect()
}

type Field<T> = (&'static str, usize, fn(&T) -> Option<String>);

trait Fields: Sized {
    fn fields() -> Vec<Field<Self>>;
}

fn fields<T: Fields>() -> Vec<Field<T>> {
    T::fields()
}

trait Show {
    fn show(&self) -> Option<String>;
}

macro_rules! show_number {
    ($($number:ty),*) => { $(impl Show for $number {
        fn show(&self) -> Option<String> {
            Some(self.to_string())
        }
    })* };
}
show_number!(u32, i32, u64, i64);

impl Show for *const c_char {
    fn show(&self) -> Option<String> {
        (!self.is_null()).then(|| text(*self).to_owned())
    }
}

macro_rules! show_pointer {
    ($($pointer:ty),*) => { $(impl Show for $pointer {
        fn show(&self) -> Option<String> {
            Some(format!("{self:?}"))
        }
    })* };
}
show_pointer!(*const u8, *mut c_void, ReleaseCallback);

/// The fields of a struct. The pattern without `..` does not compile where one is missing.
macro_rules! fields {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl Fields for $type {
            fn fields() -> Vec<Field<Self>> {
                let _complete = |$type { $($field: _),* }: $type| ();
                vec![$((
                    stringify!($field).trim_start_matches("r#"),
                    std::mem::offset_of!($type, $field),
                    |object: &$type| object.$field.show(),
                )),*]
            }
        }
    };
}

fields!(RecordOptionsC {
    struct_size,
    file_template,
    rotation
});
fields!(EventC {
    struct_size,
    r#type,
    seq,
    time_unix_ms,
    name,
    json,
    media_session_id,
    session_id,
    stream_name,
    login,
    recording_id,
    protocol,
    address,
    peer,
    reason,
    code,
    message,
    path,
    file_name,
    container,
    video_codec,
    audio_codec,
    sha256,
    part,
    parts,
    size_bytes,
    start_time_ms,
    end_time_ms,
    start_unix_ms,
    end_unix_ms,
    duration_ms,
    away_ms,
});
fields!(SampleC {
    struct_size,
    track,
    pts,
    dts,
    key,
    size,
    data,
    release,
    release_data,
});

#[test]
fn every_plain_fact_of_every_event_is_in_the_struct_and_nothing_else() {
    let events = one_of_each();
    assert_eq!(events.iter().map(Event::name).collect::<Vec<_>>(), EVENT_NAMES);
    for event in events {
        let texts = Texts::of(&event);
        let fields = told(&texts.event(&event));
        let json = event.to_json();
        let of = |key: &str| fields.iter().find(|(name, ..)| *name == key).unwrap().2.clone();
        for (key, value) in json.as_object().unwrap() {
            match (key.as_str(), value) {
                ("event", _) => assert_eq!(of("name").unwrap(), event.name()),
                ("time", _) => assert_eq!(of("time_unix_ms").unwrap(), "1600000000123"),
                ("stream_name", _) => assert_eq!(of("stream_name").unwrap(), "a\u{FFFD}b"),
                (_, serde_json::Value::Array(_)) => {}
                (_, serde_json::Value::String(text)) => assert_eq!(of(key).as_ref(), Some(text), "{key}"),
                (_, serde_json::Value::Number(number)) => assert_eq!(of(key), Some(number.to_string()), "{key}"),
                (_, other) => panic!("{key} is {other}"),
            }
        }
        assert_eq!(of("json").unwrap(), json.to_string());
        assert_eq!(of("struct_size").unwrap(), size_of::<EventC>().to_string());
        for (name, _, value) in &fields {
            let own = ["struct_size", "type", "name", "json", "time_unix_ms"].contains(name);
            let absent = json.get(*name).is_none() && !own;
            assert!(
                !absent || value.as_deref().is_none_or(|value| value == "0"),
                "{name} of {}",
                event.name()
            );
        }
    }
}

#[test]
fn public_structs_are_laid_out_in_c_as_in_rust() {
    let mut expected = String::new();
    let mut body = String::new();
    let mut note = |c_name: &str, size: usize, fields: Vec<(&'static str, usize)>| {
        expected += &format!("{c_name} {size}\n");
        body += &format!("  printf(\"{c_name} %zu\\n\", sizeof({c_name}));\n");
        for (field, offset) in fields {
            expected += &format!("{c_name}.{field} {offset}\n");
            body += &format!("  printf(\"{c_name}.{field} %zu\\n\", offsetof({c_name}, {field}));\n");
        }
    };
    fn offsets<T: Fields>() -> Vec<(&'static str, usize)> {
        fields::<T>()
            .into_iter()
            .map(|(name, offset, _)| (name, offset))
            .collect()
    }
    note("livereel_event", size_of::<EventC>(), offsets::<EventC>());
    note("livereel_sample", size_of::<SampleC>(), offsets::<SampleC>());
    note(
        "livereel_record_options",
        size_of::<RecordOptionsC>(),
        offsets::<RecordOptionsC>(),
    );
    assert_eq!(
        header().matches("typedef struct {").count(),
        3,
        "a public struct is not compared here"
    );

    let folder = std::env::temp_dir().join(format!("livereel-layout-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (source, program) = (folder.join("layout.c"), folder.join("layout"));
    std::fs::write(
        &source,
        format!("#include <livereel.h>\n#include <stdio.h>\nint main(void) {{\n{body}  return 0;\n}}\n"),
    )
    .unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include");
    let compiled = Command::new("cc")
        .arg("-I")
        .arg(include)
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap();
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let printed = Command::new(&program).output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), expected);
    std::fs::remove_dir_all(&folder).unwrap();
}
