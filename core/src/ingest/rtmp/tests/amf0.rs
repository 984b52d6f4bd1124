//! Gets AMF0 values written by hand.
//! Gives the proof that every marker is read, and that hostile ones are bounded.

use super::super::amf0::{Value, decode, properties_to_json};
use super::super::limits::{MAX_AMF_DEPTH, MAX_AMF_STRING_BYTES, MAX_AMF_VALUES};
use crate::media::ErrorKind;

fn number(value: f64) -> Vec<u8> {
    [&[0][..], &value.to_be_bytes()].concat()
}

fn name(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

fn string(text: &str) -> Vec<u8> {
    [&[2][..], &name(text)].concat()
}

const END: [u8; 3] = [0, 0, 9];

#[test]
fn every_marker_is_read() {
    let long = "x".repeat(70);
    let bytes = [
        &number(1.5)[..],
        &[1, 1, 1, 0],
        &string("cam"),
        &[3],
        &name("a"),
        &number(2.0),
        &name("b"),
        &[5],
        &END,
        &[5, 6, 0x0D],
        &[8, 0, 0, 0, 99],
        &name("width"),
        &number(1280.0),
        &END,
        &[0x0A, 0, 0, 0, 2],
        &number(3.0),
        &[5],
        &[0x0B],
        &1_700_000_000_000_f64.to_be_bytes(),
        &[0, 0],
        &[0x0C, 0, 0, 0, 70],
        long.as_bytes(),
        &[0x0F, 0, 0, 0, 4],
        b"<a/>",
        &[0x10],
        &name("Class"),
        &name("k"),
        &[1, 1],
        &END,
    ]
    .concat();
    let object = |properties: &[(&str, Value)]| {
        Value::Object(
            properties
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
        )
    };
    assert_eq!(
        decode(&bytes).unwrap(),
        [
            Value::Number(1.5),
            Value::Boolean(true),
            Value::Boolean(false),
            Value::String("cam".into()),
            object(&[("a", Value::Number(2.0)), ("b", Value::Null)]),
            Value::Null,
            Value::Null,
            Value::Null,
            object(&[("width", Value::Number(1280.0))]),
            Value::Array(vec![Value::Number(3.0), Value::Null]),
            Value::Date(1_700_000_000_000.0),
            Value::String(long),
            Value::String("<a/>".into()),
            object(&[("k", Value::Boolean(true))]),
        ]
    );
}

#[test]
fn nothing_is_read_behind_a_switch_to_amf3() {
    let bytes = [
        &string("connect")[..],
        &[3],
        &name("a"),
        &[0x11, 0x0A, 0x0B, 0xFF],
        &number(1.0),
    ]
    .concat();
    let values = decode(&bytes).unwrap();
    assert_eq!(values.len(), 2);
    assert_eq!(values[1].get("a"), Some(&Value::Null));
}

#[test]
fn cut_short_values_and_unknown_markers_are_malformed_and_references_unsupported() {
    let whole = [&[3][..], &name("a"), &[0x0B], &1.0_f64.to_be_bytes(), &[0, 0], &END].concat();
    decode(&whole).unwrap();
    for len in 1..whole.len() {
        assert_eq!(decode(&whole[..len]).unwrap_err().kind(), ErrorKind::Malformed, "{len}");
    }
    for marker in [4, 9, 0x0E, 0x12, 0xFF] {
        assert_eq!(decode(&[marker, 0, 0]).unwrap_err().kind(), ErrorKind::Malformed);
    }
    assert_eq!(decode(&[7, 0, 0]).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn nesting_is_bounded_before_it_can_hurt() {
    let nested = |depth: usize| [[0x0A, 0, 0, 0, 1].repeat(depth), vec![5]].concat();
    decode(&nested(MAX_AMF_DEPTH)).unwrap();
    for depth in [MAX_AMF_DEPTH + 1, 12_000] {
        assert_eq!(decode(&nested(depth)).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
    let objects = [vec![3], [&name("a")[..], &[3]].concat().repeat(10_000)].concat();
    assert_eq!(decode(&objects).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn counts_and_lengths_are_bounded_and_take_no_memory_ahead() {
    assert_eq!(
        decode(&vec![5; MAX_AMF_VALUES + 1]).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
    decode(&vec![5; MAX_AMF_VALUES]).unwrap();
    assert_eq!(
        decode(&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 5]).unwrap_err().kind(),
        ErrorKind::Malformed
    );
    assert_eq!(
        decode(&[0x0C, 0xFF, 0xFF, 0xFF, 0xFF, 5]).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
    let long = [
        &[0x0C][..],
        &(MAX_AMF_STRING_BYTES as u32).to_be_bytes(),
        &vec![b'x'; MAX_AMF_STRING_BYTES],
    ]
    .concat();
    decode(&long).unwrap();
}

#[test]
fn facts_become_plain_json() {
    let properties = vec![
        ("width".to_owned(), Value::Number(1280.0)),
        ("framerate".to_owned(), Value::Number(29.97)),
        ("stereo".to_owned(), Value::Boolean(true)),
        ("odd".to_owned(), Value::Number(f64::NAN)),
        ("huge".to_owned(), Value::Number(1e300)),
        ("encoder".to_owned(), Value::String("Lavf".into())),
        ("list".to_owned(), Value::Array(vec![Value::Date(5.0), Value::Null])),
    ];
    let json = serde_json::Value::Object(properties_to_json(properties));
    let expected = serde_json::json!({
        "width": 1280, "framerate": 29.97, "stereo": true, "odd": null, "huge": 1e300,
        "encoder": "Lavf", "list": [5, null]
    });
    assert_eq!(json, expected);
}
