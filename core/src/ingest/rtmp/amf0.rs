//! Gets the payload of a command or data message.
//! Gives its AMF0 values (Adobe's AMF0 specification), bounded in depth, number and length.

use super::limits::{MAX_AMF_DEPTH, MAX_AMF_STRING_BYTES, MAX_AMF_VALUES};
use super::reader::Reader;
use crate::media::{Error, ErrorKind, Result};

/// The markers of section 2.1 of the specification.
mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const REFERENCE: u8 = 0x07;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0A;
    pub(super) const DATE: u8 = 0x0B;
    pub(super) const LONG_STRING: u8 = 0x0C;
    pub(super) const UNSUPPORTED: u8 = 0x0D;
    pub(super) const XML_DOCUMENT: u8 = 0x0F;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
    pub(super) const AVM_PLUS: u8 = 0x11;
}

const OPERATION: &str = "read AMF0 values";

/// An AMF0 value. Properties keep their order; a name that comes twice stands twice.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Boolean(bool),
    /// A string, a long string or an XML document. Bytes that are no UTF-8 are replaced.
    String(String),
    /// An object, a typed object or an ECMA array.
    Object(Vec<(String, Value)>),
    Array(Vec<Value>),
    /// Milliseconds since 1970 in UTC (the time zone field is reserved).
    Date(f64),
    /// Null, undefined, unsupported, or in AMF3.
    Null,
}

impl Value {
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The first property of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Object(properties) => properties.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The same in JSON: whole numbers without a fraction, dates as milliseconds, what is no number as null.
    pub(super) fn into_json(self) -> serde_json::Value {
        match self {
            Self::Number(number) | Self::Date(number) => number_to_json(number),
            Self::Boolean(yes) => serde_json::Value::Bool(yes),
            Self::String(text) => serde_json::Value::String(text),
            Self::Object(properties) => serde_json::Value::Object(properties_to_json(properties)),
            Self::Array(values) => values.into_iter().map(Self::into_json).collect(),
            Self::Null => serde_json::Value::Null,
        }
    }
}

/// The properties of an object in JSON; of a name that comes twice, the last.
pub(super) fn properties_to_json(properties: Vec<(String, Value)>) -> serde_json::Map<String, serde_json::Value> {
    properties
        .into_iter()
        .map(|(name, value)| (name, value.into_json()))
        .collect()
}

fn number_to_json(number: f64) -> serde_json::Value {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if number.fract() == 0.0 && number.abs() <= EXACT {
        serde_json::Value::from(number as i64)
    } else {
        serde_json::Value::from(number)
    }
}

/// All values of a message, up to a switch to AMF3, behind which nothing is read.
///
/// # Errors
/// `Malformed` where a value is cut short or has an unknown marker, `Unsupported` for references
/// (section 2.9; nothing that publishes sends them), `LimitExceeded` past a bound.
pub(super) fn decode(payload: &[u8]) -> Result<Vec<Value>> {
    let mut decoder = Decoder {
        reader: Reader::new(payload),
        values_left: MAX_AMF_VALUES,
        switched: false,
    };
    let mut values = Vec::new();
    while decoder.reader.remaining() > 0 && !decoder.switched {
        values.push(decoder.value(0)?);
    }
    Ok(values)
}

struct Decoder<'a> {
    reader: Reader<'a>,
    values_left: usize,
    /// An AVM+ marker came: the rest is AMF3.
    switched: bool,
}

impl Decoder<'_> {
    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > MAX_AMF_DEPTH {
            return Err(limit("values are nested too deeply").with("limit", MAX_AMF_DEPTH));
        }
        self.values_left = self
            .values_left
            .checked_sub(1)
            .ok_or_else(|| limit("there are too many values").with("limit", MAX_AMF_VALUES))?;
        match self.reader.u8().ok_or_else(cut_short)? {
            marker::NUMBER => Ok(Value::Number(self.reader.f64().ok_or_else(cut_short)?)),
            marker::BOOLEAN => Ok(Value::Boolean(self.reader.u8().ok_or_else(cut_short)? != 0)),
            marker::STRING => self.short_string().map(Value::String),
            marker::LONG_STRING | marker::XML_DOCUMENT => self.long_string().map(Value::String),
            marker::OBJECT => self.properties(depth).map(Value::Object),
            marker::TYPED_OBJECT => {
                let _class_name = self.short_string()?;
                self.properties(depth).map(Value::Object)
            }
            marker::ECMA_ARRAY => {
                // The count is a hint (section 2.10); encoders write 0 for an open end.
                let _count = self.reader.u32().ok_or_else(cut_short)?;
                self.properties(depth).map(Value::Object)
            }
            marker::STRICT_ARRAY => self.strict_array(depth),
            marker::DATE => {
                let unix_ms = self.reader.f64().ok_or_else(cut_short)?;
                let _time_zone = self.reader.u16().ok_or_else(cut_short)?;
                Ok(Value::Date(unix_ms))
            }
            marker::NULL | marker::UNDEFINED | marker::UNSUPPORTED => Ok(Value::Null),
            marker::AVM_PLUS => {
                self.switched = true;
                Ok(Value::Null)
            }
            marker::REFERENCE => Err(Error::new(
                ErrorKind::Unsupported,
                OPERATION,
                "references are not taken",
            )),
            marker => Err(malformed("a marker is unknown").with("marker", marker)),
        }
    }

    fn properties(&mut self, depth: usize) -> Result<Vec<(String, Value)>> {
        let mut properties = Vec::new();
        while !self.switched {
            let name = self.short_string()?;
            if name.is_empty() {
                // The end is an empty name and its marker (section 2.11); before another marker it is
                // a property without a name.
                let mut ahead = self.reader;
                match ahead.u8() {
                    Some(marker::OBJECT_END) => {
                        self.reader = ahead;
                        break;
                    }
                    Some(_) => {}
                    None => return Err(cut_short()),
                }
            }
            properties.push((name, self.value(depth + 1)?));
        }
        Ok(properties)
    }

    fn strict_array(&mut self, depth: usize) -> Result<Value> {
        let count = self.reader.u32().ok_or_else(cut_short)?;
        let mut values = Vec::new();
        for _ in 0..count {
            if self.switched {
                break;
            }
            values.push(self.value(depth + 1)?);
        }
        Ok(Value::Array(values))
    }

    fn short_string(&mut self) -> Result<String> {
        let len = self.reader.u16().ok_or_else(cut_short)?;
        self.string(usize::from(len))
    }

    fn long_string(&mut self) -> Result<String> {
        let len = self.reader.u32().ok_or_else(cut_short)? as usize;
        if len > MAX_AMF_STRING_BYTES {
            return Err(limit("a string is too long")
                .with("length_bytes", len)
                .with("limit_bytes", MAX_AMF_STRING_BYTES));
        }
        self.string(len)
    }

    fn string(&mut self, len: usize) -> Result<String> {
        let bytes = self.reader.bytes(len).ok_or_else(cut_short)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

fn cut_short() -> Error {
    malformed("a value is cut short")
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, OPERATION, message)
}

fn limit(message: &str) -> Error {
    Error::new(ErrorKind::LimitExceeded, OPERATION, message)
}
