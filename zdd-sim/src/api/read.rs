//! Reads one object, or a page of a collection.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use k8s_openapi::jiff::Timestamp;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde::{Deserialize, Serialize as SerializeDerive};
use serde_json::{Value, json};

use super::convert::served;
use super::reply::{Item, Reply, Whole, json as json_reply};
use super::request::{Call, Query};
use super::resource::Resource;
use super::selector::Selector;
use super::status::{ApiStatus, FieldError};
use super::table::{self, View};
use crate::object::Object;
use crate::store::{Place, Store};

const INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent \
    list result. You can start a new list without the continue parameter, or use the continue \
    token in this response to retrieve the remainder of the results. Continuing with the provided \
    token results in an inconsistent list - objects that were created, modified, or deleted \
    between the time the first chunk was returned and now may show up in the list.";

/// The objects of one answer, and how to go on.
pub(crate) struct Page {
    pub(crate) items: Vec<Arc<Value>>,
    pub(crate) revision: u64,
    next: Option<String>,
    remaining: Option<usize>,
}

/// Where a list goes on; opaque to clients.
#[derive(SerializeDerive, Deserialize)]
struct Token {
    v: String,
    /// The revision of the first page; 0 after that one expired.
    rv: u64,
    /// The last namespace and name that were returned.
    start: Place,
}

/// Reads one object.
pub(crate) fn get(store: &Store, call: &Call, as_of: Option<u64>) -> Result<Arc<Value>, ApiStatus> {
    let (namespace, name) = (call.namespace.as_str(), call.name());
    let collection = call.resource.collection();
    let asked = revision(&call.query)?;
    let current = as_of.unwrap_or(store.revision());
    if asked > current {
        return Err(ApiStatus::too_large(asked, current));
    }
    let past = as_of.and_then(|revision| store.snapshot(collection, revision));
    let found = match &past {
        Some(objects) => objects.get(&(namespace.to_owned(), name.to_owned())),
        None => store.get(collection, namespace, name),
    };
    found.cloned().ok_or_else(|| ApiStatus::not_found(call.resource.group_resource(), name))
}

/// Reads a page of a collection.
pub(crate) fn list(store: &Store, call: &Call, as_of: Option<u64>) -> Result<Page, ApiStatus> {
    let query = &call.query;
    let selector = Selector::parse(&call.resource, &query.label_selector, &query.field_selector)?;
    let token = Token::decode(&query.continue_token)?;
    if token.is_some() && !matches!(query.resource_version.as_str(), "" | "0") {
        let why = "specifying resource version is not allowed when using continue";
        return Err(ApiStatus::bad_request(why));
    }
    let past = as_of.filter(|_| query.continue_token.is_empty());
    let at = match &token {
        Some(token) => (token.rv > 0).then_some(token.rv),
        None => exact(query, past.unwrap_or(store.revision()))?.or(past),
    };
    let after = token.as_ref().map(|token| &token.start);
    let collection = call.resource.collection();
    let Some(at) = at.filter(|&at| at != store.revision()) else {
        let revision = store.revision();
        if let (Some(scope), Some(name)) = (call.scope(), selector.name()) {
            // One object can match: the rest need not be looked at.
            let object = store.get(collection, scope, name).into_iter();
            return Ok(page(object, revision, call, &selector, after));
        }
        let objects = store.list(collection, call.scope());
        return Ok(page(objects, revision, call, &selector, after));
    };
    match store.snapshot(collection, at) {
        Some(objects) => {
            let objects = scoped(&objects, call.scope());
            Ok(page(objects, at, call, &selector, after))
        }
        None => Err(too_old(token)),
    }
}

fn scoped<'a>(
    objects: &'a BTreeMap<Place, Arc<Value>>,
    scope: Option<&'a str>,
) -> impl Iterator<Item = &'a Arc<Value>> {
    let all = objects.iter();
    all.filter(move |((place, _), _)| scope.is_none_or(|scope| scope == place))
        .map(|(_, object)| object)
}

fn too_old(token: Option<Token>) -> ApiStatus {
    let Some(token) = token else {
        return ApiStatus::expired("The resourceVersion for the provided list is too old.");
    };
    let mut status = ApiStatus::expired(INCONSISTENT);
    status.continue_token = Some(Token { rv: 0, ..token }.encode());
    status
}

fn page<'a>(
    objects: impl Iterator<Item = &'a Arc<Value>>,
    revision: u64,
    call: &Call,
    selector: &Selector,
    after: Option<&Place>,
) -> Page {
    let mut rest = objects.filter(|object| {
        after.is_none_or(|(namespace, name)| {
            (object.namespace(), object.name()) > (namespace.as_str(), name.as_str())
        }) && selector.matches(object)
    });
    let limit = call.query.limit;
    if limit == 0 {
        return Page { items: rest.cloned().collect(), revision, next: None, remaining: None };
    }
    let items: Vec<Arc<Value>> = rest.by_ref().take(limit).cloned().collect();
    let remaining = rest.count();
    let next = items.last().filter(|_| remaining > 0).map(|last| {
        let start = (last.namespace().to_owned(), last.name().to_owned());
        Token { v: "meta.k8s.io/v1".to_owned(), rv: revision, start }.encode()
    });
    // The server does not count what a selector would have to look at.
    let remaining = (remaining > 0 && selector.is_empty()).then_some(remaining);
    Page { items, revision, next, remaining }
}

impl Token {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Option<Self>, ApiStatus> {
        if text.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        serde_json::from_slice(&bytes).map(Some).map_err(|_| {
            let why = match bytes.first() {
                Some(byte @ b' '..=b'~') => format!("'{}'", char::from(*byte)),
                Some(byte) => format!("'\\u{byte:04x}'"),
                None => "''".to_owned(),
            };
            ApiStatus::bad_request(format!(
                "invalid continue token: continue key is not valid: invalid character {why} \
                 looking for beginning of value"
            ))
        })
    }
}

/// The revision that a query names, 0 for none.
pub(crate) fn revision(query: &Query) -> Result<u64, ApiStatus> {
    parse_revision(query)
        .map_err(|why| ApiStatus::bad_request(format!("invalid resource version: {why}")))
}

/// The same for a watch, which hands the error through as it is.
pub(crate) fn revision_of_watch(query: &Query) -> Result<u64, ApiStatus> {
    parse_revision(query).map_err(|why| ApiStatus::new(StatusCode::INTERNAL_SERVER_ERROR, "", why))
}

fn parse_revision(query: &Query) -> Result<u64, String> {
    let text = query.resource_version.as_str();
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": \
             invalid syntax"
        )
    })
}

/// Returns the revision at which a list must be read, `None` for the newest.
fn exact(query: &Query, current: u64) -> Result<Option<u64>, ApiStatus> {
    let asked = revision(query)?;
    let mode = query.resource_version_match.as_str();
    let refuse = |error| Err(ApiStatus::invalid_kind("meta.k8s.io", "ListOptions", "", &[error]));
    let field = "resourceVersionMatch";
    match mode {
        "" | "Exact" | "NotOlderThan" => {}
        other => {
            let known = ["Exact", "NotOlderThan", ""];
            return refuse(FieldError::not_supported(field, &other.into(), &known));
        }
    }
    if !mode.is_empty() && query.resource_version.is_empty() {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        return refuse(FieldError::forbidden(field, why));
    }
    if mode == "Exact" && asked == 0 {
        let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        return refuse(FieldError::forbidden(field, why));
    }
    if asked > current {
        return Err(ApiStatus::too_large(asked, current));
    }
    // A limit without a mode reads exactly at the revision, as before the mode existed.
    let exact = mode == "Exact" || (mode.is_empty() && query.limit > 0 && asked > 0);
    Ok(exact.then_some(asked))
}

impl Page {
    /// Answers with the list document, or with another view of it.
    pub(crate) fn reply(&self, resource: &Resource, view: View, now: Timestamp) -> Reply {
        let shown = || self.items.iter().map(|object| served(resource, object));
        let mut document = match view {
            View::Whole => return json_reply(StatusCode::OK, &Document { page: self, resource }),
            View::Metadata => json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "items": shown().map(|object| table::metadata(&object)).collect::<Vec<_>>(),
            }),
            // Events have one set of columns, written for the stored form.
            View::Table(include) => {
                let objects = self.items.iter().map(|object| &**object);
                table::table(resource, objects, (include, true, now))
            }
        };
        document["metadata"] = json!(self.meta(resource));
        json_reply(StatusCode::OK, &document)
    }

    fn meta(&self, resource: &Resource) -> Meta<'_> {
        Meta {
            resource_version: self.revision.to_string(),
            // The lists of custom kinds are written without a type that leaves it out.
            next: self.next.as_deref().or(resource.is_custom().then_some("")),
            remaining_item_count: self.remaining,
        }
    }
}

/// The metadata of a list.
#[derive(SerializeDerive)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    resource_version: String,
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_item_count: Option<usize>,
}

/// Answers with one object.
pub(crate) fn reply(
    code: StatusCode,
    resource: &Resource,
    object: &Arc<Value>,
    (view, now): (View, Timestamp),
) -> Reply {
    match view {
        View::Metadata => json_reply(code, &table::metadata(object)),
        View::Table(include) => {
            let mut table = table::table(resource, [&**object].into_iter(), (include, true, now));
            table["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
            json_reply(code, &table)
        }
        View::Whole => {
            let shown = served(resource, object);
            json_reply(code, &Whole::of(resource, &shown))
        }
    }
}

struct Document<'a> {
    page: &'a Page,
    resource: &'a Resource,
}

struct Items<'a>(&'a Document<'a>);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document { page, resource } = self.0;
        if resource.is_custom() {
            // Objects of custom resources carry their kind in lists too.
            return serializer.collect_seq(page.items.iter().map(|it| Whole::of(resource, it)));
        }
        let shown: Vec<Arc<Value>> =
            page.items.iter().map(|object| served(resource, object)).collect();
        serializer.collect_seq(shown.iter().map(|object| Item(object)))
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_struct("List", 4)?;
        list.serialize_field("kind", &format!("{}List", self.resource.kind()))?;
        list.serialize_field("apiVersion", &self.resource.api_version())?;
        list.serialize_field("metadata", &self.page.meta(self.resource))?;
        list.serialize_field("items", &Items(self))?;
        list.end()
    }
}
