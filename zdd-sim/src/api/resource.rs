//! The table of resources: what the server serves, under which names, with which rules.

mod builtin;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::table::Column;
use crate::collection::Collection;

/// One resource of the API, in one version.
#[derive(Clone, Debug)]
pub struct Resource {
    group: Cow<'static, str>,
    version: Cow<'static, str>,
    plural: Cow<'static, str>,
    singular: Cow<'static, str>,
    kind: Cow<'static, str>,
    short_names: Vec<Cow<'static, str>>,
    categories: Vec<Cow<'static, str>>,
    subresources: &'static [&'static str],
    scope: Scope,
    /// Where the objects live; two resources may serve the same objects.
    collection: Collection,
    group_resource: Collection,
    rules: Rules,
    custom: bool,
    /// Those of a CustomResourceDefinition; built-in kinds have their own.
    columns: Vec<Column>,
    schema: Option<Arc<Value>>,
    scale: ScalePaths,
    /// Comes from an object and goes with it.
    defined: bool,
}

/// Where the numbers of the subresource `scale` lie, as JSON pointers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ScalePaths {
    pub(crate) wanted: String,
    pub(crate) found: String,
    /// Where a custom kind has its selector as text.
    pub(crate) selector: Option<String>,
}

impl Default for ScalePaths {
    fn default() -> Self {
        let (wanted, found) = ("/spec/replicas".to_owned(), "/status/replicas".to_owned());
        Self { wanted, found, selector: None }
    }
}

impl ScalePaths {
    /// Reads what a CustomResourceDefinition says.
    pub(super) fn custom(definition: &Value) -> Self {
        // The paths are simple: names after dots.
        let path = |key: &str| definition[key].as_str().map(|path| path.replace('.', "/"));
        let usual = Self::default();
        Self {
            wanted: path("specReplicasPath").unwrap_or(usual.wanted),
            found: path("statusReplicasPath").unwrap_or(usual.found),
            selector: path("labelSelectorPath"),
        }
    }
}

/// Whether the objects of a resource live in namespaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete by the API conventions")]
pub enum Scope {
    /// One set of names for the whole cluster.
    Cluster,
    /// One set of names per namespace.
    Namespaced,
}

/// Where the server's registry treats kinds differently.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent columns of a table")]
struct Rules {
    /// A PUT must carry a resourceVersion.
    guarded_put: bool,
    /// A PUT of an unknown name creates it.
    put_creates: bool,
    /// A deletion answers with the object instead of a `Status`.
    returns_deleted: bool,
    /// The objects can be read and created only, or only be created.
    create_only: bool,
    /// All objects at once cannot be deleted.
    singly_deleted: bool,
}

impl Resource {
    fn builtin(
        group_resource: Collection,
        (group, version): (&'static str, &'static str),
        (plural, singular, kind): (&'static str, &'static str, &'static str),
        scope: Scope,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            plural: Cow::Borrowed(plural),
            singular: Cow::Borrowed(singular),
            kind: Cow::Borrowed(kind),
            short_names: Vec::new(),
            categories: Vec::new(),
            subresources: &[],
            scope,
            collection: group_resource.clone(),
            group_resource,
            rules: Rules {
                guarded_put: false,
                put_creates: false,
                returns_deleted: false,
                create_only: false,
                singly_deleted: false,
            },
            custom: false,
            columns: Vec::new(),
            schema: None,
            scale: ScalePaths::default(),
            defined: false,
        }
    }

    /// Describes a resource that comes from a CustomResourceDefinition with a status and without
    /// a schema: objects are stored as they are.
    #[must_use]
    pub fn custom(group: &str, version: &str, kind: &str, plural: &str, scope: Scope) -> Self {
        let collection = Collection::new(format!("{plural}.{group}"));
        Self {
            group: Cow::Owned(group.to_owned()),
            version: Cow::Owned(version.to_owned()),
            plural: Cow::Owned(plural.to_owned()),
            singular: Cow::Owned(kind.to_lowercase()),
            kind: Cow::Owned(kind.to_owned()),
            short_names: Vec::new(),
            categories: Vec::new(),
            subresources: &["status"],
            scope,
            collection: collection.clone(),
            group_resource: collection,
            rules: Rules { guarded_put: true, ..Rules::default() },
            custom: true,
            columns: Vec::new(),
            schema: None,
            scale: ScalePaths::default(),
            defined: false,
        }
    }

    /// Adds what a CustomResourceDefinition says about a version.
    pub(super) fn defined(
        mut self,
        columns: Vec<Column>,
        schema: Option<Arc<Value>>,
        subresources: &'static [&'static str],
    ) -> Self {
        (self.columns, self.schema, self.subresources) = (columns, schema, subresources);
        self.defined = true;
        self
    }

    /// Sets where the scale lies.
    pub(super) fn scaled(mut self, paths: ScalePaths) -> Self {
        self.scale = paths;
        self
    }

    /// Where the scale lies.
    pub(crate) fn scale_paths(&self) -> &ScalePaths {
        &self.scale
    }

    /// Adds other names.
    pub(super) fn named(
        mut self,
        singular: Option<&str>,
        short_names: Vec<Cow<'static, str>>,
        categories: Vec<Cow<'static, str>>,
    ) -> Self {
        if let Some(singular) = singular.filter(|name| !name.is_empty()) {
            self.singular = Cow::Owned(singular.to_owned());
        }
        (self.short_names, self.categories) = (short_names, categories);
        self
    }

    /// Returns the API group, empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Returns the version within the group.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns `version` for the core group, otherwise `group/version`.
    #[must_use]
    pub fn api_version(&self) -> Cow<'_, str> {
        if self.group.is_empty() {
            Cow::Borrowed(&self.version)
        } else {
            Cow::Owned(format!("{}/{}", self.group, self.version))
        }
    }

    /// Returns the name in paths.
    #[must_use]
    pub fn plural(&self) -> &str {
        &self.plural
    }

    /// Returns the name for one object.
    #[must_use]
    pub fn singular(&self) -> &str {
        &self.singular
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the abbreviations that `kubectl` takes.
    #[must_use]
    pub fn short_names(&self) -> &[Cow<'static, str>] {
        &self.short_names
    }

    /// Returns the groups of resources, such as `all`, under which `kubectl` lists this one too.
    #[must_use]
    pub fn categories(&self) -> &[Cow<'static, str>] {
        &self.categories
    }

    /// Returns the subresources.
    #[must_use]
    pub fn subresources(&self) -> &[&'static str] {
        self.subresources
    }

    /// Tells whether the objects have a status that the main resource cannot write.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.subresources.contains(&"status")
    }

    /// Returns whether the objects live in namespaces.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Tells whether the objects live in namespaces.
    #[must_use]
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Tells whether the resource comes from a CustomResourceDefinition.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.custom
    }

    /// Returns where the objects live.
    #[must_use]
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Returns the name that messages use.
    #[must_use]
    pub fn group_resource(&self) -> &Collection {
        &self.group_resource
    }

    /// The columns of a custom resource after the name.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The structural schema of a custom resource.
    pub(crate) fn schema(&self) -> Option<&Value> {
        self.schema.as_deref()
    }

    /// Where the objects lie in etcd, which some refusals tell.
    pub(crate) fn folder(&self) -> Cow<'_, str> {
        match self.plural() {
            plural if self.custom => Cow::Owned(format!("{}/{plural}", self.group)),
            "endpoints" => "services/endpoints".into(),
            "nodes" => "minions".into(),
            "services" => "services/specs".into(),
            plural => plural.into(),
        }
    }

    pub(crate) fn guards_put(&self) -> bool {
        self.rules.guarded_put
    }

    pub(crate) fn put_creates(&self) -> bool {
        self.rules.put_creates
    }

    pub(crate) fn returns_deleted(&self) -> bool {
        self.rules.returns_deleted
    }

    pub(crate) fn is_create_only(&self) -> bool {
        self.rules.create_only
    }

    /// The verbs that discovery lists, in the server's order.
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        if self.rules.create_only {
            &["create"]
        } else if self.rules.singly_deleted {
            &["create", "delete", "get", "list", "patch", "update", "watch"]
        } else if self.custom {
            &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
        } else {
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        }
    }
}

/// All resources that a server serves.
#[derive(Clone, Debug)]
pub(crate) struct Resources(Vec<Arc<Resource>>);

impl Resources {
    /// The resources that every cluster has.
    pub(crate) fn builtin() -> Self {
        Self(builtin::all().into_iter().map(Arc::new).collect())
    }

    pub(crate) fn add(&mut self, resource: Resource) {
        self.0.push(Arc::new(resource));
    }

    /// Takes out what comes from definitions.
    pub(super) fn remove_defined(&mut self) -> Vec<Arc<Resource>> {
        let (defined, kept) = self.0.drain(..).partition(|resource| resource.defined);
        self.0 = kept;
        defined
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.0.iter()
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.0.iter().find(|resource| {
            resource.plural == plural && resource.group == group && resource.version == version
        })
    }
}
