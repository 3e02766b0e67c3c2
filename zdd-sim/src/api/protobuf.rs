//! Reads bodies in Kubernetes' protobuf encoding, which the typed clients of `kubectl create` and
//! others send.
//!
//! A table of messages leads from field numbers to JSON names; what comes out is the JSON that the
//! same client would have sent otherwise. Answers are JSON: every client takes it too.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::status::ApiStatus;

mod wire;

use wire::{Field, Fields, Malformed};

/// The media type of these bodies.
pub(super) const MEDIA: &str = "application/vnd.kubernetes.protobuf";
/// What each of them begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Messages are at most so deep in each other.
const DEPTH: usize = 32;

/// One field of a message.
#[derive(Debug)]
struct Spec {
    name: &'static str,
    /// The Go type of the field; `*` marks fields that tell absence from zero.
    kind: &'static str,
}

/// The fields of the messages, by number.
static MESSAGES: LazyLock<BTreeMap<&str, BTreeMap<u64, Spec>>> = LazyLock::new(|| {
    let mut all: BTreeMap<&str, BTreeMap<u64, Spec>> = BTreeMap::new();
    let mut current = "";
    for line in include_str!("protobuf/messages.txt").lines().filter(|it| !it.starts_with('#')) {
        let Some(field) = line.strip_prefix(' ') else {
            current = line;
            all.entry(current).or_default();
            continue;
        };
        let mut words = field.split(' ');
        if let (Some(number), Some(name), Some(kind)) = (words.next(), words.next(), words.next())
            && let Ok(number) = number.parse()
        {
            all.entry(current).or_default().insert(number, Spec { name, kind });
        }
    }
    all
});

/// Translates a body into JSON.
///
/// # Errors
/// 400 for bytes that are not such a body, 415 for kinds that the table does not hold.
pub(super) fn to_json(body: &[u8]) -> Result<Vec<u8>, ApiStatus> {
    let value = decode(body).map_err(|error| match error {
        Error::Malformed => ApiStatus::bad_request("the object provided is no protobuf message"),
        Error::Unknown => ApiStatus::unsupported_media("application/json, application/yaml"),
    })?;
    serde_json::to_vec(&value).map_err(ApiStatus::internal)
}

/// Why a body could not be read.
#[derive(Debug)]
enum Error {
    Malformed,
    Unknown,
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

fn decode(body: &[u8]) -> Result<Value, Error> {
    let envelope = body.strip_prefix(MAGIC).ok_or(Error::Malformed)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Fields::of(envelope) {
        match field? {
            Field { number: 1, bytes, .. } => {
                for field in Fields::of(bytes) {
                    let field = field?;
                    match field.number {
                        1 => api_version = text(field.bytes)?,
                        2 => kind = text(field.bytes)?,
                        _ => {}
                    }
                }
            }
            Field { number: 2, bytes, .. } => raw = bytes,
            Field { .. } => {}
        }
    }
    let message = match kind.as_str() {
        "DeleteOptions" => "meta/v1.DeleteOptions".to_owned(),
        kind => match api_version.split_once('/') {
            Some((group, version)) => {
                let group = group.split('.').next().unwrap_or_default();
                format!("{group}/{version}.{kind}")
            }
            None => format!("core/{api_version}.{kind}"),
        },
    };
    let mut map = read(&message, raw, 0)?;
    map.insert("apiVersion".to_owned(), api_version.into());
    map.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(map))
}

/// Reads a message of the table.
fn read(message: &str, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, Error> {
    let specs = MESSAGES.get(message).ok_or(Error::Unknown)?;
    if depth > DEPTH {
        return Err(Error::Malformed);
    }
    let mut map = Map::new();
    for field in Fields::of(bytes) {
        let field = field?;
        let Some(spec) = specs.get(&field.number) else { continue };
        if spec.name == "-" {
            map.extend(read(spec.kind, field.bytes, depth + 1)?);
        } else if let Some(kind) = spec.kind.strip_prefix("[]") {
            let item = value(kind, &field, depth)?;
            let slot = map.entry(spec.name).or_insert_with(|| json!([]));
            slot.as_array_mut().into_iter().for_each(|items| items.push(item.clone()));
        } else if let Some(kind) = spec.kind.strip_prefix("{}") {
            let (key, item) = entry(kind, field.bytes, depth)?;
            map.entry(spec.name).or_insert_with(|| json!({}))[key] = item;
        } else if let Some(kind) = spec.kind.strip_prefix('*') {
            map.insert(spec.name.to_owned(), value(kind, &field, depth)?);
        } else {
            // Written also when it says nothing, where JSON leaves it out.
            let value = value(spec.kind, &field, depth)?;
            if !is_zero(&value) {
                map.insert(spec.name.to_owned(), value);
            }
        }
    }
    Ok(map)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Bool(truth) => !truth,
        Value::Null => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
    }
}

/// Reads an entry of a map: a message of key and value.
fn entry(kind: &str, bytes: &[u8], depth: usize) -> Result<(String, Value), Error> {
    let empty = Field { number: 2, varint: 0, bytes: &[] };
    let (mut key, mut item) = (String::new(), value(kind, &empty, depth)?);
    for field in Fields::of(bytes) {
        let field = field?;
        match field.number {
            1 => key = text(field.bytes)?,
            _ => item = value(kind, &field, depth)?,
        }
    }
    Ok((key, item))
}

fn value(kind: &str, field: &Field<'_>, depth: usize) -> Result<Value, Error> {
    Ok(match kind {
        "bool" => (field.varint != 0).into(),
        "bytes" => STANDARD.encode(field.bytes).into(),
        "int" => field.signed().into(),
        "string" => text(field.bytes)?.into(),
        "duration" => inner(field.bytes, 1)?.map_or(0, |it| it.signed()).into(),
        "quantity" => inner_text(field.bytes, 1)?.into(),
        "fields" | "raw" => {
            let raw = inner(field.bytes, 1)?.map(|field| field.bytes);
            raw.and_then(|raw| serde_json::from_slice(raw).ok()).unwrap_or_default()
        }
        "intorstring" => {
            if inner(field.bytes, 1)?.is_some_and(|kind| kind.varint == 1) {
                inner_text(field.bytes, 3)?.into()
            } else {
                inner(field.bytes, 2)?.map_or(0, |it| it.signed()).into()
            }
        }
        "microtime" => time(field.bytes, "%Y-%m-%dT%H:%M:%S.%6fZ")?,
        "time" => time(field.bytes, "%Y-%m-%dT%H:%M:%SZ")?,
        other => match other.strip_prefix("wrapped[]") {
            Some(kind) => {
                let items = Fields::of(field.bytes).map(|field| value(kind, &field?, depth));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            None => Value::Object(read(other, field.bytes, depth + 1)?),
        },
    })
}

/// The zero time has no fields.
fn time(bytes: &[u8], format: &str) -> Result<Value, Error> {
    let Some(seconds) = inner(bytes, 1)? else { return Ok(Value::Null) };
    let nanos = inner(bytes, 2)?.map_or(0, |field| field.signed());
    let nanos = i32::try_from(nanos).map_err(|_| Error::Malformed)?;
    let time = Timestamp::new(seconds.signed(), nanos).map_err(|_| Error::Malformed)?;
    Ok(time.strftime(format).to_string().into())
}

fn inner(bytes: &[u8], number: u64) -> Result<Option<Field<'_>>, Error> {
    for field in Fields::of(bytes) {
        let field = field?;
        if field.number == number {
            return Ok(Some(field));
        }
    }
    Ok(None)
}

fn inner_text(bytes: &[u8], number: u64) -> Result<String, Error> {
    inner(bytes, number)?.map_or_else(|| Ok(String::new()), |field| text(field.bytes))
}

fn text(bytes: &[u8]) -> Result<String, Error> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_map_as_kubectl_sends_it() {
        let body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x1b\x0a\x11\x0a\x01a\x12\x00\x1a\
            \x00\"\x00*\x002\x008\x00B\x00\x12\x06\x0a\x01x\x12\x011\x1a\x00\"\x00";
        let expected = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "a" },
            "data": { "x": "1" },
        });
        assert_eq!(decode(body).unwrap(), expected);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Config";
        assert!(matches!(decode(body), Err(Error::Malformed)));
        assert!(matches!(decode(b"{}"), Err(Error::Malformed)));
    }

    #[test]
    fn all_messages_of_the_table_are_in_the_table() {
        for (message, fields) in MESSAGES.iter() {
            for spec in fields.values() {
                let kind = spec.kind.trim_start_matches(['*', '[', ']', '{', '}']);
                assert!(!kind.contains('/') || MESSAGES.contains_key(kind), "{message}: {kind}");
            }
        }
    }
}
