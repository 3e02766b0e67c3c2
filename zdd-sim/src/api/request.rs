//! Decodes a request line into what is asked, apart from any transport.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::WARNING;
use http::{HeaderMap, HeaderValue, Method};

use super::resource::{Resource, Resources};
use super::status::{ApiStatus, FieldError};
use crate::store::Propagation;

/// What a request does, in the words of authorization and audit.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "complete by the API conventions")]
pub enum Verb {
    /// Adds an object.
    Create,
    /// Removes an object.
    Delete,
    /// Removes all selected objects.
    DeleteCollection,
    /// Reads an object.
    Get,
    /// Reads all selected objects.
    List,
    /// Changes parts of an object.
    Patch,
    /// Replaces an object.
    Update,
    /// Follows the changes of selected objects.
    Watch,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Delete,
        Self::DeleteCollection,
        Self::Get,
        Self::List,
        Self::Patch,
        Self::Update,
        Self::Watch,
    ];

    /// Returns the word that roles use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }

    /// Tells whether the request can change the cluster.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A decoded request for objects of one resource.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    pub(crate) resource: Arc<Resource>,
    /// Empty for cluster-scoped resources and for all namespaces.
    pub(crate) namespace: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
    pub(crate) query: Query,
    /// What the client has to be told besides the answer.
    warnings: Arc<Mutex<Vec<String>>>,
}

/// How old the state may be that a request is answered from.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete by the API's rules on resourceVersion")]
pub enum Freshness {
    /// As old as a server may lag behind, yet not older than a revision that the client names: a
    /// read with a resourceVersion.
    Any {
        /// The revision, 0 for none.
        not_before: u64,
    },
    /// The newest state: writes, and reads without a resourceVersion.
    #[default]
    Newest,
    /// From exactly the revision that the client names, which the server may have compacted: the
    /// next page of a list, a list with `resourceVersionMatch=Exact`, a watch from a revision on.
    Pinned,
}

/// Where a path leads.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// To objects.
    Objects(Box<Call>),
    /// To a document about the server itself.
    Document(String),
}

/// The query of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) label_selector: String,
    pub(crate) field_selector: String,
    pub(crate) limit: usize,
    pub(crate) continue_token: String,
    pub(crate) resource_version: String,
    pub(crate) resource_version_match: String,
    pub(crate) watch: bool,
    pub(crate) bookmarks: bool,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) dry_run: Vec<String>,
    pub(crate) field_manager: String,
    pub(crate) field_validation: String,
    pub(crate) force: Option<bool>,
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) propagation_text: Option<String>,
    pub(crate) others: Vec<(String, String)>,
}

impl Query {
    fn parse(query: &str) -> Self {
        let mut all = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            all.set(&key, value);
        }
        all
    }

    fn set(&mut self, key: &str, value: Cow<'_, str>) {
        match key {
            "labelSelector" => self.label_selector = value.into_owned(),
            "fieldSelector" => self.field_selector = value.into_owned(),
            "limit" => self.limit = value.parse().unwrap_or_default(),
            "continue" => self.continue_token = value.into_owned(),
            "resourceVersion" => self.resource_version = value.into_owned(),
            "resourceVersionMatch" => self.resource_version_match = value.into_owned(),
            "watch" => self.watch = flag(&value),
            "allowWatchBookmarks" => self.bookmarks = flag(&value),
            "sendInitialEvents" => self.send_initial_events = Some(flag(&value)),
            "timeoutSeconds" => self.timeout_seconds = value.parse().ok(),
            "dryRun" => self.dry_run.push(value.into_owned()),
            "fieldManager" => self.field_manager = value.into_owned(),
            "fieldValidation" => self.field_validation = value.into_owned(),
            "force" => self.force = Some(flag(&value)),
            "gracePeriodSeconds" => self.grace_seconds = value.parse().ok(),
            "propagationPolicy" => {
                self.propagation = propagation(&value);
                self.propagation_text = Some(value.into_owned());
            }
            _ => self.others.push((key.to_owned(), value.into_owned())),
        }
    }

    /// Returns a parameter that only some resources know.
    pub(crate) fn other(&self, name: &str) -> Option<&str> {
        self.others.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_dry(&self) -> bool {
        !self.dry_run.is_empty()
    }

    /// Refuses what the options of this verb do not know.
    fn check(&self, verb: Verb) -> Result<(), ApiStatus> {
        let options = match verb {
            Verb::Create => "CreateOptions",
            Verb::Update => "UpdateOptions",
            Verb::Patch => "PatchOptions",
            Verb::Delete | Verb::DeleteCollection => "DeleteOptions",
            Verb::Get | Verb::List | Verb::Watch => return Ok(()),
        };
        let refuse = |error| Err(ApiStatus::invalid_kind("meta.k8s.io", options, "", &[error]));
        if self.dry_run.iter().any(|text| text != "All") {
            let found = self.dry_run.as_slice().into();
            return refuse(FieldError::not_supported("dryRun", &found, &["All"]));
        }
        let known = ["", "Ignore", "Strict", "Warn"];
        if !known.contains(&self.field_validation.as_str()) {
            let found = self.field_validation.as_str().into();
            return refuse(FieldError::not_supported("fieldValidation", &found, &known));
        }
        if let (None, Some(text)) = (self.propagation, &self.propagation_text) {
            let found = text.as_str().into();
            return refuse(FieldError::not_supported("propagationPolicy", &found, &POLICIES));
        }
        Ok(())
    }
}

/// The policies of deletions, in the order in which a refusal lists them.
pub(crate) const POLICIES: [&str; 4] = ["Foreground", "Background", "Orphan", "nil"];

pub(crate) fn propagation(text: &str) -> Option<Propagation> {
    match text {
        "Background" => Some(Propagation::Background),
        "Foreground" => Some(Propagation::Foreground),
        "Orphan" => Some(Propagation::Orphan),
        _ => None,
    }
}

/// Reads a flag as Go's query conversion does: present and not false.
fn flag(value: &str) -> bool {
    !matches!(value, "false" | "0" | "f" | "F" | "False" | "FALSE")
}

/// Finds out what a request asks for.
pub(crate) fn route(
    resources: &Resources,
    method: &Method,
    path: &str,
    query: &str,
) -> Result<Route, ApiStatus> {
    let parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Ok(Route::Document(path.to_owned())),
    };
    if !resources.iter().any(|resource| resource.group() == group) {
        return Ok(Route::Document(path.to_owned()));
    }
    let target = Target::parse(rest);
    let resource =
        resources.find(group, version, target.plural).ok_or_else(ApiStatus::unknown_resource)?;
    if let Some(subresource) = target.subresource
        && !resource.subresources().contains(&subresource)
    {
        return Err(ApiStatus::unknown_resource());
    }
    if resource.is_namespaced() == target.namespace.is_empty()
        && (target.name.is_some() || !resource.is_namespaced())
    {
        return Err(ApiStatus::unknown_resource());
    }
    let query = Query::parse(query);
    let verb = verb(method, target.name.is_some(), &query)?;
    let is_misplaced = match verb {
        // Below a name only a subresource, such as a binding, is created.
        Verb::Create => target.name.is_some() && target.subresource.is_none(),
        Verb::DeleteCollection => !resource.verbs().contains(&"deletecollection"),
        Verb::Delete | Verb::Get | Verb::List | Verb::Patch | Verb::Update | Verb::Watch => {
            resource.is_create_only()
        }
    };
    if is_misplaced {
        return Err(ApiStatus::method_not_allowed());
    }
    query.check(verb)?;
    Ok(Route::Objects(Box::new(Call {
        verb,
        resource: Arc::clone(resource),
        namespace: target.namespace.to_owned(),
        name: target.name.map(str::to_owned),
        subresource: target.subresource.map(str::to_owned),
        query,
        warnings: Arc::default(),
    })))
}

struct Target<'a> {
    plural: &'a str,
    namespace: &'a str,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// `namespaces/x` names the namespace itself; `namespaces/x/y` leads into it, unless `y` is
    /// a subresource of namespaces.
    fn parse(parts: &[&'a str]) -> Self {
        let (namespace, parts) = match parts {
            ["namespaces", _, sub, ..] if matches!(*sub, "finalize" | "status") => ("", parts),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            _ => ("", parts),
        };
        Self {
            plural: parts.first().copied().unwrap_or_default(),
            namespace,
            name: parts.get(1).copied(),
            subresource: parts.get(2).copied(),
        }
    }
}

fn verb(method: &Method, named: bool, query: &Query) -> Result<Verb, ApiStatus> {
    Ok(match (method.as_str(), named) {
        ("GET" | "HEAD", _) if query.watch => Verb::Watch,
        ("GET" | "HEAD", true) => Verb::Get,
        ("GET" | "HEAD", false) => Verb::List,
        ("POST", _) => Verb::Create,
        ("PUT", true) => Verb::Update,
        ("PATCH", true) => Verb::Patch,
        ("DELETE", true) => Verb::Delete,
        ("DELETE", false) => Verb::DeleteCollection,
        _ => return Err(ApiStatus::method_not_allowed()),
    })
}

/// Keeps a call's namespace and name together as the store wants them.
impl Call {
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// `None` selects all namespaces.
    pub(crate) fn scope(&self) -> Option<&str> {
        let all = self.resource.is_namespaced() && self.namespace.is_empty();
        (!all).then_some(self.namespace.as_str())
    }

    /// Tells how old the answer may be.
    ///
    /// A server answers from a cache that may lag only where the client names a resourceVersion:
    /// a read without one is a consistent one.
    pub(crate) fn freshness(&self) -> Freshness {
        let query = &self.query;
        if !query.continue_token.is_empty() {
            return Freshness::Pinned;
        }
        let Ok(not_before) = query.resource_version.parse::<u64>() else {
            return Freshness::Newest;
        };
        match self.verb {
            Verb::Get => Freshness::Any { not_before },
            Verb::List => {
                let is_exact = not_before > 0
                    && (query.limit > 0 && query.resource_version_match.is_empty()
                        || query.resource_version_match == "Exact");
                if is_exact { Freshness::Pinned } else { Freshness::Any { not_before } }
            }
            Verb::Watch if not_before == 0 || query.send_initial_events == Some(true) => {
                Freshness::Any { not_before }
            }
            // From a revision on there are changes only, and these come in order.
            Verb::Watch => Freshness::Pinned,
            Verb::Create | Verb::Delete | Verb::DeleteCollection | Verb::Patch | Verb::Update => {
                Freshness::Newest
            }
        }
    }

    /// Notes what the client has to be told, once.
    pub(crate) fn add_warning(&self, text: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Writes the warnings into the head of an answer.
    pub(crate) fn warn(&self, headers: &mut HeaderMap) {
        let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for text in warnings.iter() {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::try_from(format!("299 - \"{quoted}\"")) {
                headers.append(WARNING, value);
            }
        }
    }

    /// The words of roles and call counts: `deployments.apps/scale`.
    pub(crate) fn target(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource.group_resource()),
            None => self.resource.group_resource().to_string(),
        }
    }
}
