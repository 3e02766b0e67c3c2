//! Tables: the columns in which the server lets clients show objects.
//!
//! `kubectl get` asks for them and prints what it gets; which columns a kind has, and what stands in
//! them, is the server's business.

mod builtin;
mod cell;
mod column;
mod duration;
mod path;
mod pod;

use http::HeaderMap;
use http::header::ACCEPT;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use column::{Column, Row};

use super::request::Query;
use super::resource::Resource;
use super::status::ApiStatus;

/// In which form objects are sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum View {
    /// The metadata alone, as `PartialObjectMetadata`.
    Metadata,
    /// As rows of a `Table`.
    Table(Include),
    /// As they are.
    Whole,
}

/// What a row carries besides its cells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Include {
    Metadata,
    None,
    Object,
}

const META: &str = "meta.k8s.io/v1";

impl View {
    /// Takes the first form in the client's list that there is.
    ///
    /// # Errors
    /// 406 when none of them is served, 400 for a table with unknown rows.
    pub(crate) fn of(headers: &HeaderMap, query: &Query) -> Result<Self, ApiStatus> {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|text| text.to_str().ok());
        let accepted: Vec<&str> = accepted.filter(|text| !text.trim().is_empty()).collect();
        if accepted.is_empty() {
            return Ok(Self::Whole);
        }
        let include = match query.other("includeObject") {
            Some("None") => Ok(Include::None),
            Some("Object") => Ok(Include::Object),
            Some("Metadata" | "") | None => Ok(Include::Metadata),
            Some(other) => Err(other),
        };
        let mut speaks_json = false;
        let media = accepted.iter().flat_map(|text| text.split(','));
        let known = { media }.find_map(|media| {
            let mut parts = media.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            if !matches!(kind, "application/json" | "application/*" | "*/*") {
                return None;
            }
            speaks_json = true;
            let parameters: Vec<&str> = parts.filter(|part| !part.starts_with("q=")).collect();
            let asked = parameters.iter().find_map(|part| part.strip_prefix("as="));
            if asked.is_some() && !parameters.contains(&"v=v1") {
                return None;
            }
            match asked {
                None => Some(Ok(Self::Whole)),
                Some("Table") => Some(include.map(Self::Table)),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                    Some(Ok(Self::Metadata))
                }
                Some(_) => None,
            }
        });
        match known {
            Some(Ok(view)) => Ok(view),
            Some(Err(include)) => Err(ApiStatus::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: \
                 \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
            ))),
            None => Err(ApiStatus::not_acceptable(speaks_json)),
        }
    }
}

/// Shows objects as a table; the columns are left out of all but the first event of a watch.
pub(crate) fn table<'a>(
    resource: &Resource,
    objects: impl Iterator<Item = &'a Value>,
    (include, named, now): (Include, bool, Timestamp),
) -> Value {
    let columns = builtin::columns(resource);
    let rows: Vec<Value> = objects
        .map(|object| {
            let row = Row { object, now };
            let cells: Vec<Value> = columns.iter().map(|column| column.cell(&row)).collect();
            let object = match include {
                Include::Metadata => metadata(object),
                Include::None => Value::Null,
                Include::Object => whole(resource, object),
            };
            json!({ "cells": cells, "object": object })
        })
        .collect();
    let definitions: Vec<Value> =
        if named { columns.iter().map(Column::definition).collect() } else { Vec::new() };
    json!({
        "kind": "Table",
        "apiVersion": META,
        "metadata": {},
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

/// Shows the metadata of an object.
pub(crate) fn metadata(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": META,
        "metadata": object["metadata"],
    })
}

fn whole(resource: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind().into();
    object
}
