//! Answers: a status, a few headers, and a body that is whole or a stream of watch events.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use futures::stream::BoxStream;
use http::{Response, StatusCode, header};
use http_body::Frame;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::error::TransportError;
use super::resource::Resource;
use super::status::ApiStatus;

/// The body of an answer.
pub struct ApiBody(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Stream(BoxStream<'static, Result<Bytes, TransportError>>),
}

impl ApiBody {
    /// Makes a body that ends after `bytes`.
    #[must_use]
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Whole(Some(bytes.into())))
    }

    pub(crate) fn stream(
        stream: impl Stream<Item = Result<Bytes, TransportError>> + Send + 'static,
    ) -> Self {
        Self(Kind::Stream(Box::pin(stream)))
    }

    /// Takes the stream of a watch; a whole body becomes a stream of one.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Bytes, TransportError>> {
        match self.0 {
            Kind::Whole(bytes) => Box::pin(futures::stream::iter(bytes.map(Ok))),
            Kind::Stream(stream) => stream,
        }
    }
}

impl fmt::Debug for ApiBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Whole(bytes) => f.debug_tuple("Whole").field(bytes).finish(),
            Kind::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl http_body::Body for ApiBody {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        match &mut self.0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(stream) => {
                stream.as_mut().poll_next(context).map(|next| next.map(|it| it.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Whole(None))
    }
}

/// An answer of the API.
pub(crate) type Reply = Response<ApiBody>;

/// Answers with a JSON document.
pub(crate) fn json(code: StatusCode, document: &impl Serialize) -> Reply {
    let text = serde_json::to_vec(document).unwrap_or_default();
    let mut reply = Response::new(ApiBody::whole(text));
    *reply.status_mut() = code;
    let json = header::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, json);
    reply
}

/// Answers with a refusal.
pub(crate) fn refusal(status: &ApiStatus) -> Reply {
    let mut reply = json(status.code, &status.to_value());
    if let Some(seconds) = status.retry_after() {
        reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    reply
}

/// Writes an object with the version and kind under which it is served, whatever is stored.
pub(crate) struct Whole<'a> {
    pub(crate) api_version: Cow<'a, str>,
    pub(crate) kind: &'a str,
    pub(crate) object: &'a Value,
}

impl<'a> Whole<'a> {
    pub(crate) fn of(resource: &'a Resource, object: &'a Value) -> Self {
        Self { api_version: resource.api_version(), kind: resource.kind(), object }
    }
}

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind)?;
        map.serialize_entry("apiVersion", &self.api_version)?;
        entries(&mut map, self.object)?;
        map.end()
    }
}

/// Writes an object of a list: the list names version and kind for all.
pub(crate) struct Item<'a>(pub(crate) &'a Value);

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        entries(&mut map, self.0)?;
        map.end()
    }
}

fn entries<M: SerializeMap>(map: &mut M, object: &Value) -> Result<(), M::Error> {
    for (key, value) in object.as_object().into_iter().flatten() {
        if key != "kind" && key != "apiVersion" {
            map.serialize_entry(key, value)?;
        }
    }
    Ok(())
}

/// Appends one line of a watch.
pub(crate) fn watch_line(buffer: &mut BytesMut, kind: &str, object: &impl Serialize) {
    #[derive(serde::Serialize)]
    struct Line<'a, T> {
        #[serde(rename = "type")]
        kind: &'a str,
        object: &'a T,
    }
    let mut text = serde_json::to_vec(&Line { kind, object }).unwrap_or_default();
    text.push(b'\n');
    buffer.extend_from_slice(&text);
}
