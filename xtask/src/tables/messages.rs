//! The messages of the protobuf encoding, from the tags of Go's structs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use super::Module;
use super::go::{Package, Reference, Type};

/// What clients send.
const ROOTS: &[(&str, &[&str])] = &[
    ("apps/v1", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("authorization/v1", &["SelfSubjectAccessReview", "SelfSubjectRulesReview"]),
    ("autoscaling/v1", &["Scale"]),
    ("autoscaling/v2", &["HorizontalPodAutoscaler"]),
    ("batch/v1", &["Job"]),
    ("coordination/v1", &["Lease"]),
    (
        "core/v1",
        &[
            "Binding",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "Namespace",
            "Node",
            "Pod",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    ("discovery/v1", &["EndpointSlice"]),
    ("events/v1", &["Event"]),
    ("meta/v1", &["Status"]),
    ("policy/v1", &["Eviction", "PodDisruptionBudget"]),
    ("rbac/v1", &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]),
];

/// Types that are read in a way of their own.
const SPECIAL: &[(&str, &str)] = &[
    ("k8s.io/apimachinery/pkg/api/resource.Quantity", "quantity"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1.Duration", "duration"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1", "fields"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime", "microtime"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1.Time", "time"),
    ("k8s.io/apimachinery/pkg/runtime.RawExtension", "raw"),
    ("k8s.io/apimachinery/pkg/types.UID", "string"),
    ("k8s.io/apimachinery/pkg/util/intstr.IntOrString", "intorstring"),
];

const META: &str = "k8s.io/apimachinery/pkg/apis/meta/v1";
const API: &str = "k8s.io/api/";

/// Makes the table.
pub(super) fn table() -> anyhow::Result<String> {
    let mut source = Source {
        api: Module::find("k8s.io/api")?,
        machinery: Module::find("k8s.io/apimachinery")?,
        packages: BTreeMap::new(),
    };
    let roots = ROOTS.iter().flat_map(|(package, names)| {
        names.iter().map(|name| (path_of(package), (*name).to_owned()))
    });
    let mut open: Vec<(String, String)> = roots.collect();
    let mut messages = BTreeMap::new();
    while let Some((package, name)) = open.pop() {
        let title = format!("{}.{name}", short(&package));
        if let Entry::Vacant(place) = messages.entry(title) {
            place.insert(source.message(&package, &name, &mut open)?);
        }
    }
    let mut text = format!(
        "# Generated from the struct tags of k8s.io/api and k8s.io/apimachinery {} (Apache-2.0).\n\
         # A message, then its fields: number, JSON name (- is inlined), type (* may be absent, [] \
         is a list,\n# {{}} is a map).\n",
        source.api.version
    );
    for (title, fields) in messages {
        text += &format!("{title}\n");
        for (number, (name, kind)) in fields {
            text += &format!(" {number} {name} {kind}\n");
        }
    }
    Ok(text)
}

fn path_of(short: &str) -> String {
    if short == "meta/v1" { META.to_owned() } else { format!("{API}{short}") }
}

fn short(path: &str) -> &str {
    if path == META { "meta/v1" } else { path.strip_prefix(API).unwrap_or(path) }
}

/// The packages that were read so far.
struct Source {
    api: Module,
    machinery: Module,
    packages: BTreeMap<String, Package>,
}

impl Source {
    /// Reads the fields of a message; adds the messages that it holds to `open`.
    fn message(
        &mut self,
        package: &str,
        name: &str,
        open: &mut Vec<(String, String)>,
    ) -> anyhow::Result<BTreeMap<u64, (String, String)>> {
        let Type::Struct(fields) = self.find(package, name)? else {
            bail!("{package}.{name} is no struct")
        };
        let fields: Vec<(u64, String, Reference)> =
            fields.iter().map(|it| (it.number, it.name.clone(), it.of.clone())).collect();
        let mut read = BTreeMap::new();
        for (number, name, of) in fields {
            let kind = self.kind(package, &of, open)?;
            let name = if name.is_empty() { "-".to_owned() } else { name };
            read.insert(number, (name, kind));
        }
        Ok(read)
    }

    /// Returns the word for a type.
    fn kind(
        &mut self,
        package: &str,
        of: &Reference,
        open: &mut Vec<(String, String)>,
    ) -> anyhow::Result<String> {
        let within = |text: &str| Reference { text: text.to_owned(), ..of.clone() };
        match of.text.as_str() {
            "string" | "bool" => return Ok(of.text.clone()),
            "int" | "int32" | "int64" | "uint32" => return Ok("int".to_owned()),
            "[]byte" => return Ok("bytes".to_owned()),
            _ => {}
        }
        if let Some(text) = of.text.strip_prefix('*') {
            return Ok(format!("*{}", self.kind(package, &within(text), open)?));
        }
        if let Some(text) = of.text.strip_prefix("[]") {
            return Ok(format!("[]{}", self.kind(package, &within(text), open)?));
        }
        if let Some((_, text)) = of.text.strip_prefix("map[").and_then(|it| it.split_once(']')) {
            let kind = self.kind(package, &within(text), open)?;
            // A list in a map is a message of its own.
            let wrapped = if kind.starts_with("[]") { "wrapped" } else { "" };
            return Ok(format!("{{}}{wrapped}{kind}"));
        }
        let (package, name) = match of.text.split_once('.') {
            None => (package.to_owned(), of.text.clone()),
            Some((alias, name)) => {
                let path = of.imports.get(alias);
                let path = path.with_context(|| format!("nothing imports {}", of.text))?;
                (path.clone(), name.to_owned())
            }
        };
        let full = format!("{package}.{name}");
        if let Some((_, word)) = SPECIAL.iter().find(|(special, _)| *special == full) {
            return Ok((*word).to_owned());
        }
        if let Type::Named(other) = self.find(&package, &name)? {
            let other = other.clone();
            return self.kind(&package, &other, open);
        }
        let title = format!("{}.{name}", short(&package));
        open.push((package, name));
        Ok(title)
    }

    fn find(&mut self, package: &str, name: &str) -> anyhow::Result<&Type> {
        if !self.packages.contains_key(package) {
            let folder = match package.strip_prefix(API) {
                Some(below) => self.api.folder.join(below),
                None => {
                    let below = package.strip_prefix("k8s.io/apimachinery/").unwrap_or(package);
                    self.machinery.folder.join(below)
                }
            };
            self.packages.insert(package.to_owned(), read(&folder)?);
        }
        let found = self.packages.get(package).and_then(|package| package.types.get(name));
        found.with_context(|| format!("there is no {package}.{name}"))
    }
}

fn read(folder: &Path) -> anyhow::Result<Package> {
    let mut package = Package::default();
    let entries =
        fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".go") && !name.ends_with("_test.go") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            package.read(&text);
        }
    }
    Ok(package)
}
