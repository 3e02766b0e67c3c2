//! Follows the changes of a collection: a stream of newline-delimited JSON events.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::convert::served;
use super::error::TransportError;
use super::lock;
use super::read;
use super::reply::{ApiBody, Reply, Whole, watch_line};
use super::request::{Call, Query};
use super::resource::Resource;
use super::selector::Selector;
use super::status::{ApiStatus, FieldError};
use super::table::{self, View};
use crate::clock::Clock;
use crate::object::Object;
use crate::store::{Change, Entry, Store};

/// How long a watch lasts that does not say so; the server picks 30 to 60 minutes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1800);
/// How often an idle watch is told the newest revision.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);

/// How a server says that a watch cannot start at so old a revision.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the two ways seen in servers")]
pub enum Gone {
    /// By an ERROR event on an established watch, as the API server does.
    #[default]
    Event,
    /// By the HTTP status of the answer, as some proxies and aggregated servers do.
    Http,
}

/// One open watch.
struct Watch {
    store: Arc<Mutex<Store>>,
    resource: Arc<Resource>,
    view: View,
    /// Whether a table's columns were told.
    named: bool,
    clock: Clock,
    scope: Option<String>,
    selector: Selector,
    /// All changes up to here were looked at.
    position: u64,
    changes: watch::Receiver<u64>,
    deadline: Instant,
    next_bookmark: Option<Instant>,
    ready: VecDeque<Bytes>,
    over: bool,
}

/// Starts a watch.
pub(crate) fn start(
    store: &Arc<Mutex<Store>>,
    call: &Call,
    (view, gone): (View, Gone),
    as_of: Option<u64>,
) -> Result<Reply, ApiStatus> {
    let query = &call.query;
    check(query)?;
    let mut selector =
        Selector::parse(&call.resource, &query.label_selector, &query.field_selector)?;
    if let Some(name) = &call.name {
        // The old way to watch one object: by its path.
        let field = format!("metadata.name={name}");
        selector = Selector::parse(&call.resource, &query.label_selector, &field)?;
    }
    let asked = read::revision_of_watch(query)?;
    let mut guard = lock(store);
    let now = Instant::now();
    let mut watch = Watch {
        store: Arc::clone(store),
        resource: Arc::clone(&call.resource),
        view,
        named: false,
        clock: guard.clock(),
        scope: call.scope().map(str::to_owned),
        selector,
        position: asked,
        changes: guard.subscribe_to(call.resource.collection()),
        deadline: now + query.timeout_seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs),
        next_bookmark: query.bookmarks.then_some(now + BOOKMARK_PERIOD),
        ready: VecDeque::new(),
        over: false,
    };
    let initial = query.send_initial_events.unwrap_or(asked == 0);
    if initial || asked == 0 {
        watch.position = as_of.unwrap_or(guard.revision());
    }
    if initial {
        watch.push_present(&guard, as_of);
    }
    if query.send_initial_events == Some(true) && query.bookmarks {
        watch.push_bookmark(true);
    }
    let current = guard.revision();
    if asked > current {
        return Err(ApiStatus::too_large(asked, current));
    }
    if gone == Gone::Http && guard.since_in(call.resource.collection(), watch.position).is_none() {
        return Err(ApiStatus::too_old(watch.position, current));
    }
    drop(guard);
    let mut reply = Response::new(ApiBody::stream(watch.into_stream()));
    *reply.status_mut() = StatusCode::OK;
    let json = header::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(reply)
}

/// A stream of one ERROR event.
pub(crate) fn error_line(status: &ApiStatus) -> Bytes {
    let mut buffer = BytesMut::new();
    watch_line(&mut buffer, "ERROR", &status.to_value());
    buffer.freeze()
}

fn check(query: &Query) -> Result<(), ApiStatus> {
    let mode = query.resource_version_match.as_str();
    let (field, why) = match query.send_initial_events {
        None if mode.is_empty() => return Ok(()),
        None => (
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        Some(_) if mode == "NotOlderThan" => return Ok(()),
        Some(_) => (
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
    };
    let mut errors = vec![FieldError::forbidden(field, why)];
    if query.send_initial_events.is_some() && !mode.is_empty() {
        errors.push(FieldError::not_supported(field, &mode.into(), &["NotOlderThan"]));
    }
    Err(ApiStatus::invalid_kind("meta.k8s.io", "ListOptions", "", &errors))
}

impl Watch {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, TransportError>> + Send {
        futures::stream::unfold(self, |mut watch| async move {
            let bytes = watch.next().await?;
            Some((Ok(bytes), watch))
        })
    }

    /// Returns the next lines, `None` when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.over {
                return None;
            }
            self.catch_up();
            if !self.ready.is_empty() || self.over {
                continue;
            }
            let bookmark = self.next_bookmark.unwrap_or(self.deadline).min(self.deadline);
            tokio::select! {
                biased;
                changed = self.changes.changed() => self.over = changed.is_err(),
                () = tokio::time::sleep_until(bookmark) => self.on_timer(bookmark),
            }
        }
    }

    fn on_timer(&mut self, at: Instant) {
        if self.next_bookmark.is_some() {
            self.catch_up();
            self.push_bookmark(false);
            self.next_bookmark = Some(at + BOOKMARK_PERIOD);
        }
        self.over |= at >= self.deadline;
    }

    /// Looks at all changes since the last time.
    fn catch_up(&mut self) {
        let store = Arc::clone(&self.store);
        let store = lock(&store);
        self.changes.mark_unchanged();
        let Some(entries) = store.since_in(self.resource.collection(), self.position) else {
            let status = ApiStatus::too_old(self.position, store.revision());
            self.ready.push_back(error_line(&status));
            self.over = true;
            return;
        };
        // Only pointers are taken under the lock.
        let events: Vec<_> = entries.filter_map(|entry| self.event(entry)).collect();
        self.position = self.position.max(store.revision());
        drop(store);
        self.push(events);
    }

    /// An object that enters or leaves the selection is added or deleted for this watch.
    fn event(&self, entry: &Entry) -> Option<(&'static str, Shown)> {
        let object = &entry.object;
        if self.scope.as_deref().is_some_and(|scope| scope != object.namespace())
            || self.selector.name().is_some_and(|name| name != object.name())
        {
            return None;
        }
        let was = entry.before.as_ref().is_some_and(|before| self.selector.matches(before));
        let is = entry.change != Change::Deleted && self.selector.matches(object);
        match (was, is) {
            (false, false) => None,
            (false, true) => Some(("ADDED", Shown::Stored(Arc::clone(object)))),
            (true, true) => Some(("MODIFIED", Shown::Stored(Arc::clone(object)))),
            (true, false) if entry.change == Change::Deleted => {
                Some(("DELETED", Shown::Stored(Arc::clone(object))))
            }
            (true, false) => {
                // The last state that matched, at the revision of the change.
                let before = entry.before.as_ref().map_or(object, |before| before);
                Some(("DELETED", Shown::At(Arc::clone(before), entry.revision)))
            }
        }
    }

    fn push(&mut self, events: Vec<(&'static str, Shown)>) {
        if events.is_empty() {
            return;
        }
        let mut buffer = BytesMut::new();
        for (kind, shown) in events {
            self.line(&mut buffer, kind, &shown.into_object());
        }
        self.ready.push_back(buffer.freeze());
    }

    fn line(&mut self, buffer: &mut BytesMut, kind: &str, object: &Arc<Value>) {
        match self.view {
            View::Metadata => watch_line(buffer, kind, &table::metadata(object)),
            View::Table(include) => {
                let rows = [&**object].into_iter();
                let settings = (include, !self.named, self.clock.now());
                let mut table = table::table(&self.resource, rows, settings);
                table["metadata"]["resourceVersion"] =
                    object["metadata"]["resourceVersion"].clone();
                self.named = true;
                watch_line(buffer, kind, &table);
            }
            View::Whole => {
                let object = served(&self.resource, object);
                watch_line(buffer, kind, &Whole::of(&self.resource, &object));
            }
        }
    }

    fn push_present(&mut self, store: &Store, as_of: Option<u64>) {
        let collection = self.resource.collection();
        let past = as_of.and_then(|revision| store.snapshot(collection, revision));
        let scope = self.scope.as_deref();
        let objects: Vec<&Arc<Value>> = match &past {
            Some(objects) => objects.values().collect(),
            None => store.list(collection, scope).collect(),
        };
        let events = objects
            .into_iter()
            .filter(|object| scope.is_none_or(|scope| scope == object.namespace()))
            .filter(|object| self.selector.matches(object))
            .map(|object| ("ADDED", Shown::Stored(Arc::clone(object))))
            .collect();
        self.push(events);
    }

    fn push_bookmark(&mut self, initial_end: bool) {
        let mut metadata = json!({
            "creationTimestamp": null,
            "resourceVersion": self.position.to_string(),
        });
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let mut buffer = BytesMut::new();
        self.line(&mut buffer, "BOOKMARK", &Arc::new(json!({ "metadata": metadata })));
        self.ready.push_back(buffer.freeze());
    }
}

/// An object as an event shows it.
enum Shown {
    Stored(Arc<Value>),
    At(Arc<Value>, u64),
}

impl Shown {
    fn into_object(self) -> Arc<Value> {
        match self {
            Self::Stored(object) => object,
            Self::At(object, revision) => {
                let mut object = Arc::unwrap_or_clone(object);
                object["metadata"]["resourceVersion"] = revision.to_string().into();
                Arc::new(object)
            }
        }
    }
}
