//! Documents about the server itself: which groups, versions and resources it serves.

use std::collections::BTreeMap;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

#[cfg(feature = "serve")]
use super::openapi;
use super::reply::{ApiBody, Reply, json as reply_json};
use super::resource::{Resource, Resources};
use super::status::ApiStatus;

/// The release whose behaviour is served.
const MINOR: &str = "37";

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Answers a GET of a path outside of the resources.
///
/// # Errors
/// 404 for paths that lead nowhere.
pub(crate) fn answer(
    resources: &Resources,
    path: &str,
    headers: &HeaderMap,
) -> Result<Reply, ApiStatus> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let aggregated = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|accept| accept.to_str().ok())
        .any(|accept| accept.contains("as=APIGroupDiscoveryList"));
    let document = match parts.as_slice() {
        ["livez" | "readyz" | "healthz", ..] => {
            let mut reply = http::Response::new(ApiBody::whole("ok"));
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            reply.headers_mut().insert(CONTENT_TYPE, text);
            return Ok(reply);
        }
        ["version"] => version(),
        ["api"] if aggregated => return Ok(typed(&groups(resources, |group| group.is_empty()))),
        ["apis"] if aggregated => return Ok(typed(&groups(resources, |group| !group.is_empty()))),
        #[cfg(feature = "serve")]
        ["openapi", "v3"] => openapi::index(resources),
        #[cfg(feature = "serve")]
        ["openapi", "v3", rest @ ..] => {
            openapi::document(resources, &rest.join("/")).ok_or_else(ApiStatus::unknown_resource)?
        }
        ["api"] => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
        ["apis"] => json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": names(resources)
                .iter()
                .filter(|(group, _)| !group.is_empty())
                .map(|(group, versions)| legacy_group(group, versions))
                .collect::<Vec<_>>(),
        }),
        ["apis", group] => {
            let names = names(resources);
            let versions = names.get(*group).ok_or_else(ApiStatus::unknown_resource)?;
            let mut group = legacy_group(group, versions);
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            group
        }
        ["api", version] => list(resources, "", version)?,
        ["apis", group, version] => list(resources, group, version)?,
        _ => return Ok(nothing()),
    };
    Ok(reply_json(StatusCode::OK, &document))
}

/// What is said by the front, which knows no groups and no `Status`.
fn nothing() -> Reply {
    let mut reply = http::Response::new(ApiBody::whole("404 page not found\n"));
    *reply.status_mut() = StatusCode::NOT_FOUND;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    reply.headers_mut().insert(CONTENT_TYPE, text);
    reply
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": MINOR,
        "emulationMajor": "1",
        "emulationMinor": MINOR,
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "36",
        "gitVersion": format!("v1.{MINOR}.0+zdd-sim"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// The groups with their versions.
fn names(resources: &Resources) -> BTreeMap<&str, Vec<&str>> {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for resource in resources.iter() {
        let versions = names.entry(resource.group()).or_default();
        if !versions.contains(&resource.version()) {
            versions.push(resource.version());
        }
    }
    names
}

fn legacy_group(group: &str, versions: &[&str]) -> Value {
    let all: Vec<Value> = versions
        .iter()
        .map(|version| json!({ "groupVersion": format!("{group}/{version}"), "version": version }))
        .collect();
    json!({ "name": group, "versions": all, "preferredVersion": all.first() })
}

fn list(resources: &Resources, group: &str, version: &str) -> Result<Value, ApiStatus> {
    let mut all = Vec::new();
    let served = resources.iter().filter(|it| it.group() == group && it.version() == version);
    for resource in served {
        let mut entry = json!({
            "name": resource.plural(),
            "singularName": resource.singular(),
            "namespaced": resource.is_namespaced(),
            "kind": resource.kind(),
            "verbs": resource.verbs(),
        });
        if !resource.short_names().is_empty() {
            entry["shortNames"] = json!(resource.short_names());
        }
        if !resource.categories().is_empty() {
            entry["categories"] = json!(resource.categories());
        }
        all.push(entry);
        for subresource in resource.subresources() {
            let (group, version, kind) = subresource_kind(resource, subresource);
            let mut entry = json!({
                "name": format!("{}/{subresource}", resource.plural()),
                "singularName": "",
                "namespaced": resource.is_namespaced(),
                "kind": kind,
                "verbs": subresource_verbs(subresource),
            });
            if (group, version) != (resource.group(), resource.version()) {
                entry["group"] = group.into();
                entry["version"] = version.into();
            }
            all.push(entry);
        }
    }
    if all.is_empty() {
        return Err(ApiStatus::unknown_resource());
    }
    let group_version =
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": all,
    }))
}

/// The answer that names all groups at once.
fn groups(resources: &Resources, wanted: impl Fn(&str) -> bool) -> Value {
    let groups: Vec<Value> = names(resources)
        .into_iter()
        .filter(|(group, _)| wanted(group))
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let served = resources
                        .iter()
                        .filter(|it| it.group() == group && it.version() == *version);
                    json!({
                        "version": version,
                        "freshness": "Current",
                        "resources": served.map(|it| aggregated(it)).collect::<Vec<_>>(),
                    })
                })
                .collect();
            json!({
                "metadata": { "name": group, "creationTimestamp": null },
                "versions": versions,
            })
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": groups,
    })
}

fn aggregated(resource: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({ "group": group, "version": version, "kind": kind });
    let subresources: Vec<Value> = resource
        .subresources()
        .iter()
        .map(|subresource| {
            let (group, version, name) = subresource_kind(resource, subresource);
            json!({
                "subresource": subresource,
                "responseKind": kind(group, version, name),
                "verbs": subresource_verbs(subresource),
            })
        })
        .collect();
    let mut entry = json!({
        "resource": resource.plural(),
        "responseKind": kind(resource.group(), resource.version(), resource.kind()),
        "scope": if resource.is_namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular(),
        "verbs": resource.verbs(),
    });
    if !resource.short_names().is_empty() {
        entry["shortNames"] = json!(resource.short_names());
    }
    if !resource.categories().is_empty() {
        entry["categories"] = json!(resource.categories());
    }
    if !subresources.is_empty() {
        entry["subresources"] = Value::Array(subresources);
    }
    entry
}

fn subresource_kind<'a>(resource: &'a Resource, subresource: &str) -> (&'a str, &'a str, &'a str) {
    match subresource {
        "binding" => ("", "v1", "Binding"),
        "eviction" => ("policy", "v1", "Eviction"),
        "scale" => ("autoscaling", "v1", "Scale"),
        _ => (resource.group(), resource.version(), resource.kind()),
    }
}

fn subresource_verbs(subresource: &str) -> &'static [&'static str] {
    match subresource {
        "binding" | "eviction" => &["create"],
        "finalize" => &["update"],
        "log" => &["get"],
        _ => &["get", "patch", "update"],
    }
}

fn typed(document: &Value) -> Reply {
    let mut reply = reply_json(StatusCode::OK, document);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    reply
}
