//! OpenAPI v3: the documents from which `kubectl` learns the fields of kinds, how they merge, and
//! which parameters the server takes.
//!
//! The schemas are those of the types into which the server decodes; how lists merge is not in
//! these and comes from a table.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use k8s_openapi::api::{
    apps::v1 as apps, authorization::v1 as authorization, autoscaling::v1 as scale,
    autoscaling::v2 as autoscaling, batch::v1 as batch, coordination::v1 as coordination,
    core::v1 as core, discovery::v1 as discovery, events::v1 as events, policy::v1 as policy,
    rbac::v1 as rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::resource::{Resource, Resources};

const SCHEMAS: &str = "#/components/schemas/";

/// The documents that there are, and where.
pub(super) fn index(resources: &Resources) -> Value {
    let mut paths = Map::new();
    for resource in resources.iter() {
        let path = path_of(resource);
        // The address changes with the content: clients keep what they have read.
        let mut hasher = DefaultHasher::new();
        for other in resources.iter().filter(|other| path_of(other) == path) {
            other.plural().hash(&mut hasher);
            other.schema().map(Value::to_string).hash(&mut hasher);
        }
        let hash = hasher.finish();
        let url = format!("/openapi/v3/{path}?hash={hash:016X}");
        paths.insert(path, json!({ "serverRelativeURL": url }));
    }
    json!({ "paths": paths })
}

/// The document of one group and version; `None` when nothing is served there.
pub(super) fn document(resources: &Resources, path: &str) -> Option<Value> {
    let served: Vec<&Resource> =
        resources.iter().map(|it| &**it).filter(|it| path_of(it) == path).collect();
    if served.is_empty() {
        return None;
    }
    let mut settings = SchemaSettings::openapi3();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut own = Map::new();
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for resource in &served {
        let name = match builtin(&mut generator, resource) {
            Some(name) => name,
            None => {
                let (name, schema) = custom(&mut generator, resource);
                own.insert(name.clone(), schema);
                name
            }
        };
        names.insert(resource.kind(), name);
    }
    let _options = generator.subschema_for::<meta::DeleteOptions>();
    let mut schemas = generator.take_definitions(true);
    mark(&mut schemas);
    schemas.extend(own);
    for resource in &served {
        if let Some(schema) = names.get(resource.kind()).and_then(|name| schemas.get_mut(name)) {
            schema["x-kubernetes-group-version-kind"] = json!([kind_of(resource)]);
        }
    }
    let mut paths = Map::new();
    for resource in &served {
        operations(&mut paths, resource, names.get(resource.kind()).map_or("", String::as_str));
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "unversioned" },
        "paths": paths,
        "components": { "schemas": schemas },
    }))
}

fn path_of(resource: &Resource) -> String {
    match resource.group() {
        "" => format!("api/{}", resource.version()),
        group => format!("apis/{group}/{}", resource.version()),
    }
}

fn kind_of(resource: &Resource) -> Value {
    json!({
        "group": resource.group(),
        "version": resource.version(),
        "kind": resource.kind(),
    })
}

/// Adds the schema of a built-in kind and all below it; returns its name.
fn builtin(generator: &mut SchemaGenerator, resource: &Resource) -> Option<String> {
    fn add<T: JsonSchema>(generator: &mut SchemaGenerator) -> String {
        let _reference = generator.subschema_for::<T>();
        T::schema_name().into_owned()
    }
    let add = match (resource.group(), resource.kind()) {
        ("", "ConfigMap") => add::<core::ConfigMap>,
        ("", "Endpoints") => add::<core::Endpoints>,
        ("", "Event") => add::<core::Event>,
        ("", "LimitRange") => add::<core::LimitRange>,
        ("", "Namespace") => add::<core::Namespace>,
        ("", "Node") => add::<core::Node>,
        ("", "PersistentVolumeClaim") => add::<core::PersistentVolumeClaim>,
        ("", "Pod") => add::<core::Pod>,
        ("", "ResourceQuota") => add::<core::ResourceQuota>,
        ("", "Secret") => add::<core::Secret>,
        ("", "Service") => add::<core::Service>,
        ("", "ServiceAccount") => add::<core::ServiceAccount>,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            add::<apiextensions::CustomResourceDefinition>
        }
        ("apps", "ControllerRevision") => add::<apps::ControllerRevision>,
        ("apps", "DaemonSet") => add::<apps::DaemonSet>,
        ("apps", "Deployment") => add::<apps::Deployment>,
        ("apps", "ReplicaSet") => add::<apps::ReplicaSet>,
        ("apps", "StatefulSet") => add::<apps::StatefulSet>,
        ("autoscaling", "HorizontalPodAutoscaler") => add::<autoscaling::HorizontalPodAutoscaler>,
        ("autoscaling", "Scale") => add::<scale::Scale>,
        ("batch", "Job") => add::<batch::Job>,
        ("coordination.k8s.io", "Lease") => add::<coordination::Lease>,
        ("discovery.k8s.io", "EndpointSlice") => add::<discovery::EndpointSlice>,
        ("events.k8s.io", "Event") => add::<events::Event>,
        ("policy", "PodDisruptionBudget") => add::<policy::PodDisruptionBudget>,
        ("rbac.authorization.k8s.io", "ClusterRole") => add::<rbac::ClusterRole>,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => add::<rbac::ClusterRoleBinding>,
        ("rbac.authorization.k8s.io", "Role") => add::<rbac::Role>,
        ("rbac.authorization.k8s.io", "RoleBinding") => add::<rbac::RoleBinding>,
        ("authorization.k8s.io", "SelfSubjectAccessReview") => {
            add::<authorization::SelfSubjectAccessReview>
        }
        ("authorization.k8s.io", "SelfSubjectRulesReview") => {
            add::<authorization::SelfSubjectRulesReview>
        }
        _ => return None,
    };
    Some(add(generator))
}

/// The schema of a custom resource: what its definition says, and the fields that all objects have.
fn custom(generator: &mut SchemaGenerator, resource: &Resource) -> (String, Value) {
    let mut group: Vec<&str> = resource.group().split('.').collect();
    group.reverse();
    let name = format!("{}.{}.{}", group.join("."), resource.version(), resource.kind());
    let mut schema = resource.schema().cloned().unwrap_or_else(
        || json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
    );
    let metadata = generator.subschema_for::<meta::ObjectMeta>();
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({ "type": "string" });
    properties["kind"] = json!({ "type": "string" });
    properties["metadata"] = json!({ "allOf": [metadata] });
    (name, schema)
}

/// The marks by type and field.
static MARKS: LazyLock<BTreeMap<&str, Vec<(&str, Value)>>> = LazyLock::new(|| {
    let mut all: BTreeMap<&str, Vec<(&str, Value)>> = BTreeMap::new();
    let lines = include_str!("openapi/marks.txt").lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let mut words = line.splitn(3, ' ');
        if let (Some(kind), Some(field), Some(marks)) = (words.next(), words.next(), words.next())
            && let Ok(marks) = serde_json::from_str(marks)
        {
            all.entry(kind).or_default().push((field, marks));
        }
    }
    all
});

fn mark(schemas: &mut Map<String, Value>) {
    for (name, schema) in schemas {
        for (field, marks) in MARKS.get(name.as_str()).into_iter().flatten() {
            let target = match *field {
                "-" => Some(&mut *schema),
                field => schema["properties"].get_mut(field),
            };
            let marks = marks.as_object().into_iter().flatten();
            if let Some(target) = target {
                for (key, value) in marks {
                    target[format!("x-kubernetes-{key}")] = value.clone();
                }
            }
        }
    }
}

/// The operations of a resource; `kubectl` looks for the parameters that they take.
fn operations(paths: &mut Map<String, Value>, resource: &Resource, schema: &str) {
    let scope = if resource.is_namespaced() { "/namespaces/{namespace}" } else { "" };
    let list = format!("/{}{scope}/{}", path_of(resource), resource.plural());
    let reference = json!({ "schema": { "$ref": format!("{SCHEMAS}{schema}") } });
    let kind = kind_of(resource);
    let operation = |action: &str, parameters: &[&str], body: Option<&str>| {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|name| {
                let kind = if *name == "force" { "boolean" } else { "string" };
                json!({ "name": name, "in": "query", "schema": { "type": kind } })
            })
            .collect();
        let mut operation = json!({
            "parameters": parameters,
            "responses": { "200": {
                "description": "OK",
                "content": { "application/json": reference },
            } },
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind,
        });
        if let Some(media) = body {
            operation["requestBody"] = json!({ "content": { media: reference } });
        }
        operation
    };
    let write = ["dryRun", "fieldManager", "fieldValidation"];
    let create = operation("post", &write, Some("application/json"));
    if resource.is_create_only() {
        paths.insert(list, json!({ "post": create }));
        return;
    }
    let selectors = ["fieldSelector", "labelSelector", "limit", "continue", "watch"];
    let patch = ["dryRun", "fieldManager", "fieldValidation", "force"];
    let object = json!({
        "get": operation("get", &[], None),
        "put": operation("put", &write, Some("application/json")),
        "patch": operation("patch", &patch, Some("application/apply-patch+yaml")),
        "delete": operation("delete", &["dryRun", "propagationPolicy"], None),
    });
    paths.insert(format!("{list}/{{name}}"), object);
    paths.insert(list, json!({ "get": operation("list", &selectors, None), "post": create }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_served_kind_has_a_schema_and_lists_merge_by_their_keys() {
        let resources = Resources::builtin();
        for resource in resources.iter() {
            let document = document(&resources, &path_of(resource)).unwrap();
            let schemas = document["components"]["schemas"].as_object().unwrap();
            let wanted = json!([kind_of(resource)]);
            let found = schemas
                .iter()
                .find(|(_, schema)| schema["x-kubernetes-group-version-kind"] == wanted);
            let (name, schema) = found.unwrap_or_else(|| panic!("{resource:?}"));
            assert!(schema["properties"].as_object().unwrap().len() > 1, "{name}");
        }
        let apps = document(&resources, "apis/apps/v1").unwrap();
        let pod = &apps["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"];
        assert_eq!(pod["containers"]["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(pod["volumes"]["x-kubernetes-patch-strategy"], "merge,retainKeys");
        assert!(pod["nodeName"]["description"].is_string());
    }
}
