//! Gets command names and arguments from `publisher`, and the payload of the server's commands.
//! Gives AMF0 (Adobe AMF0, sections 2.1 to 2.9), just as much of it as a publisher needs.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// An AMF0 value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Bool(bool),
    String(String),
    Object(Vec<(String, Value)>),
    Null,
}

impl Value {
    /// The string property `name` of an object.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let Self::Object(properties) = self else { return None };
        properties.iter().find_map(|(key, value)| match value {
            Self::String(text) if key == name => Some(text.as_str()),
            _ => None,
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

/// The payload of a command message.
pub(crate) fn command(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    for value in values {
        put(&mut out, value);
    }
    out
}

fn put(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Number(number) => {
            out.put_u8(0);
            out.put_f64(*number);
        }
        Value::Bool(flag) => {
            out.put_u8(1);
            out.put_u8(u8::from(*flag));
        }
        Value::String(text) => {
            out.put_u8(2);
            put_text(out, text);
        }
        Value::Object(properties) => {
            out.put_u8(3);
            for (name, value) in properties {
                put_text(out, name);
                put(out, value);
            }
            out.put_slice(&[0, 0, 9]);
        }
        Value::Null => out.put_u8(5),
    }
}

fn put_text(out: &mut BytesMut, text: &str) {
    // Stream names and URLs: the command line keeps them far below 64 KiB.
    let text = text.get(..usize::from(u16::MAX)).unwrap_or(text);
    out.put_uint(text.len() as u64, 2);
    out.put_slice(text.as_bytes());
}

/// The values of a command's payload, up to the first one that is cut off or of another kind.
pub(crate) fn values(mut payload: Bytes) -> Vec<Value> {
    std::iter::from_fn(|| take(&mut payload, 0)).collect()
}

fn take(input: &mut Bytes, depth: u32) -> Option<Value> {
    match input.try_get_u8().ok()? {
        0 => input.try_get_f64().ok().map(Value::Number),
        1 => input.try_get_u8().ok().map(|flag| Value::Bool(flag != 0)),
        2 => take_text(input).map(Value::String),
        marker @ (3 | 8) if depth < 8 => {
            if marker == 8 {
                input.try_get_u32().ok()?;
            }
            let mut properties = Vec::new();
            while !input.starts_with(&[0, 0, 9]) {
                let name = take_text(input)?;
                properties.push((name, take(input, depth + 1)?));
            }
            input.advance(3);
            Some(Value::Object(properties))
        }
        5 | 6 => Some(Value::Null),
        _ => None,
    }
}

fn take_text(input: &mut Bytes) -> Option<String> {
    let length = usize::from(input.try_get_u16().ok()?);
    (input.len() >= length).then(|| String::from_utf8_lossy(&input.split_to(length)).into_owned())
}
