//! The marks by which lists and maps merge, from the OpenAPI documents of Kubernetes.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context;
use serde_json::{Map, Value};

use super::Module;

/// The documents of the groups that zdd-sim serves.
const DOCUMENTS: &[&str] = &[
    "api__v1",
    "apis__apps__v1",
    "apis__autoscaling__v2",
    "apis__batch__v1",
    "apis__coordination.k8s.io__v1",
    "apis__discovery.k8s.io__v1",
    "apis__events.k8s.io__v1",
    "apis__policy__v1",
    "apis__rbac.authorization.k8s.io__v1",
];
/// The types whose marks are wanted.
const PREFIXES: &[&str] = &["io.k8s.api.", "io.k8s.apimachinery.pkg.apis.meta.v1"];
const MARK: &str = "x-kubernetes-";
/// Begin as marks do, and say nothing about merging.
const OTHERS: &[&str] = &["group-version-kind", "unions"];

/// Makes the table.
pub(super) fn table() -> anyhow::Result<String> {
    let module = Module::find("k8s.io/kubernetes")?;
    let mut marks = BTreeMap::new();
    for name in DOCUMENTS {
        let file = module.folder.join(format!("api/openapi-spec/v3/{name}_openapi.json"));
        let text = fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        let document: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON", file.display()))?;
        let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
        for (name, schema) in schemas.filter(|(name, _)| is_wanted(name)) {
            collect(name, schema, &mut marks);
        }
    }
    let mut text = format!(
        "# Generated from api/openapi-spec/v3 of Kubernetes {} (Apache-2.0): the x-kubernetes- \
         marks of\n# fields (- marks the type itself). They decide how lists and maps merge.\n",
        module.version
    );
    for ((name, field), marks) in &marks {
        text += &format!("{name} {field} {}\n", Value::Object(marks.clone()));
    }
    Ok(text)
}

fn is_wanted(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn collect(name: &str, schema: &Value, all: &mut BTreeMap<(String, String), Map<String, Value>>) {
    let mut put = |field: &str, schema: &Value| {
        let marks = marks_of(schema);
        if !marks.is_empty() {
            all.insert((name.to_owned(), field.to_owned()), marks);
        }
    };
    put("-", schema);
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        put(field, schema);
    }
}

fn marks_of(schema: &Value) -> Map<String, Value> {
    let entries = schema.as_object().into_iter().flatten();
    let marks = entries.filter_map(|(key, value)| Some((key.strip_prefix(MARK)?, value)));
    let marks = marks.filter(|(key, _)| !OTHERS.contains(key));
    marks.map(|(key, value)| (key.to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::collect;

    #[test]
    fn a_type_and_its_fields_have_marks() {
        let schema = json!({
            "x-kubernetes-map-type": "atomic",
            "x-kubernetes-group-version-kind": [],
            "properties": {
                "a": { "x-kubernetes-list-type": "set" },
                "b": { "type": "string" },
            },
        });
        let mut all = BTreeMap::new();
        collect("T", &schema, &mut all);
        let names: Vec<_> = all.keys().map(|(_, field)| field.as_str()).collect();
        assert_eq!(names, ["-", "a"]);
    }
}
