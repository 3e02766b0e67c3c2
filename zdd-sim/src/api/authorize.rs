//! Decides who may do what, by the rules of Roles.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::calls::CallCounts;
use super::reply::{Reply, json as reply_json};
use super::request::Call;
use super::selector::Selector;
use super::status::{ApiStatus, FieldError};
use crate::object::Object;

/// Decides whether a client may do what it asks for.
///
/// # Examples
/// ```
/// use serde_json::json;
/// use zdd_sim::Authorizer;
///
/// let role = json!({
///     "kind": "Role",
///     "metadata": { "name": "zdd", "namespace": "default" },
///     "rules": [{ "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"] }],
/// });
/// let authorizer = Authorizer::from_roles([&role])?;
/// assert_eq!(authorizer.grants(), ["get deployments.apps"]);
/// # Ok::<(), zdd_sim::RoleError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Authorizer(Option<Arc<[Rule]>>);

/// A Role that cannot be read.
#[derive(Debug, Error)]
#[error("failed to read role \"{name}\": give it rules with apiGroups, resources and verbs")]
pub struct RoleError {
    name: String,
    #[source]
    source: serde_json::Error,
}

/// One rule of a Role.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    api_groups: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
    verbs: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    /// `None` for all namespaces.
    #[serde(skip)]
    namespace: Option<String>,
}

/// What is asked for, as rules see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Authorizer {
    /// Allows everything.
    #[must_use]
    pub fn allow_all() -> Self {
        Self(None)
    }

    /// Allows what the given Roles and ClusterRoles allow, and nothing else.
    ///
    /// A Role holds for its own namespace (`default` when it names none), a ClusterRole for all.
    ///
    /// # Errors
    /// A role without readable rules.
    pub fn from_roles<'a>(roles: impl IntoIterator<Item = &'a Value>) -> Result<Self, RoleError> {
        let mut all = Vec::new();
        for role in roles {
            let rules = Vec::<Rule>::deserialize(&role["rules"])
                .map_err(|source| RoleError { name: role.name().to_owned(), source })?;
            let own = match (role["kind"].as_str(), role.namespace()) {
                (Some("ClusterRole"), _) => None,
                (_, "") => Some("default".to_owned()),
                (_, namespace) => Some(namespace.to_owned()),
            };
            all.extend(rules.into_iter().map(|rule| Rule { namespace: own.clone(), ..rule }));
        }
        Ok(Self(Some(all.into())))
    }

    /// Returns all that is granted, one line per verb and resource: `patch deployments.apps/scale`.
    #[must_use]
    pub fn grants(&self) -> Vec<String> {
        let mut all = BTreeSet::new();
        for rule in self.0.iter().flat_map(|rules| rules.iter()) {
            for (group, resource) in rule.pairs() {
                let target = target(group, resource);
                all.extend(rule.verbs.iter().map(|verb| format!("{verb} {target}")));
            }
        }
        all.into_iter().collect()
    }

    /// Returns what is granted and was not used by these requests.
    #[must_use]
    pub fn unused(&self, calls: &CallCounts) -> Vec<String> {
        let used: BTreeSet<String> =
            calls.iter().map(|(key, _)| format!("{} {}", key.verb, key.target)).collect();
        self.grants().into_iter().filter(|grant| !used.contains(grant)).collect()
    }

    pub(crate) fn allows(&self, asked: &Attributes) -> bool {
        let Some(rules) = &self.0 else { return true };
        // Every user may ask what it may do.
        let review = asked.group == "authorization.k8s.io" && asked.resource.starts_with("self");
        review || rules.iter().any(|rule| rule.allows(asked))
    }

    /// # Errors
    /// 403 with the server's own sentence.
    pub(crate) fn check(&self, user: &str, call: &Call) -> Result<(), ApiStatus> {
        let asked = Attributes::of(call);
        if self.allows(&asked) {
            return Ok(());
        }
        let place = if asked.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", asked.namespace)
        };
        let why = format!(
            "User \"{user}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
            asked.verb,
            asked.path(),
            asked.group
        );
        Err(ApiStatus::forbidden(call.resource.group_resource(), call.name(), why))
    }

    /// Answers a review: whether one thing is allowed, or all that is.
    pub(crate) fn review(&self, kind: &str, mut review: Value) -> Result<Reply, ApiStatus> {
        let asks = |key: &str| review["spec"][key].is_object();
        if kind == "SelfSubjectAccessReview"
            && asks("resourceAttributes") == asks("nonResourceAttributes")
        {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be \
                       specified";
            let error = FieldError::invalid("spec", &Value::Null, why);
            return Err(ApiStatus::invalid_kind("authorization.k8s.io", "", "", &[error]));
        }
        review["apiVersion"] = "authorization.k8s.io/v1".into();
        review["kind"] = kind.into();
        review["status"] = match kind {
            "SelfSubjectRulesReview" => {
                self.rules(review["spec"]["namespace"].as_str().unwrap_or_default())
            }
            _ => self.access(&review),
        };
        Ok(reply_json(StatusCode::CREATED, &review))
    }

    /// Lists what is allowed in a namespace.
    fn rules(&self, namespace: &str) -> Value {
        let all = json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] });
        let rules: Vec<Value> = match &self.0 {
            None => vec![all],
            Some(rules) => {
                let here =
                    |rule: &&Rule| rule.namespace.as_ref().is_none_or(|own| own == namespace);
                rules.iter().filter(here).map(Rule::document).collect()
            }
        };
        json!({ "incomplete": false, "nonResourceRules": [], "resourceRules": rules })
    }

    fn access(&self, review: &Value) -> Value {
        let attributes = &review["spec"]["resourceAttributes"];
        let text = |key: &str| attributes[key].as_str().unwrap_or_default().to_owned();
        let asked = Attributes {
            verb: text("verb"),
            group: text("group"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
        };
        json!({ "allowed": self.allows(&asked) })
    }
}

impl Default for Authorizer {
    fn default() -> Self {
        Self::allow_all()
    }
}

impl Rule {
    fn document(&self) -> Value {
        let mut rule = json!({
            "verbs": self.verbs, "apiGroups": self.api_groups, "resources": self.resources,
        });
        if !self.resource_names.is_empty() {
            rule["resourceNames"] = json!(self.resource_names);
        }
        rule
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let resources = &self.resources;
        self.api_groups.iter().flat_map(move |group| {
            resources.iter().map(move |resource| (group.as_str(), resource.as_str()))
        })
    }

    fn allows(&self, asked: &Attributes) -> bool {
        let any =
            |list: &[String], wanted: &str| list.iter().any(|one| one == "*" || one == wanted);
        let path = asked.path();
        any(&self.verbs, &asked.verb)
            && any(&self.api_groups, &asked.group)
            && self.resources.iter().any(|resource| {
                resource == "*"
                    || *resource == path
                    || (!asked.subresource.is_empty()
                        && resource.strip_prefix("*/") == Some(asked.subresource.as_str()))
            })
            && self.namespace.as_ref().is_none_or(|own| *own == asked.namespace)
            && (self.resource_names.is_empty() || self.resource_names.contains(&asked.name))
    }
}

impl Attributes {
    fn of(call: &Call) -> Self {
        // A list of one name is a request for that object; rules with names see it so.
        let selector =
            Selector::parse(&call.resource, "", &call.query.field_selector).unwrap_or_default();
        let name = call.name.as_deref().or(selector.name()).unwrap_or_default();
        Self {
            verb: call.verb.to_string(),
            group: call.resource.group().to_owned(),
            resource: call.resource.plural().to_owned(),
            subresource: call.subresource.clone().unwrap_or_default(),
            // A namespace itself is asked for within itself.
            namespace: if call.resource.plural() == "namespaces" {
                call.name().to_owned()
            } else {
                call.namespace.clone()
            },
            name: name.to_owned(),
        }
    }

    fn path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// `deployments/scale` of `apps` is `deployments.apps/scale` in counts.
fn target(group: &str, resource: &str) -> String {
    let (resource, sub) =
        resource.split_once('/').map_or((resource, None), |(resource, sub)| (resource, Some(sub)));
    let mut text = resource.to_owned();
    if !group.is_empty() {
        text = format!("{text}.{group}");
    }
    match sub {
        Some(sub) => format!("{text}/{sub}"),
        None => text,
    }
}

impl fmt::Display for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("everything"),
            Some(_) => f.write_str(&self.grants().join(", ")),
        }
    }
}
