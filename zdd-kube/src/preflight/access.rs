//! The driver must be allowed to do all that a rollout may need, the way back included.

use std::sync::Arc;

use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;
use zdd_core::{ClusterError, Target};

use crate::failure::Failure;
use crate::rbac::{Need, RULES};
use crate::requests::Requests;
use crate::resource::Resource;

/// How many questions are asked at a time.
const AT_A_TIME: usize = 8;

/// What the driver may do that it can do without.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    optional: Vec<Right>,
}

/// One verb on one resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Right {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
}

impl Rights {
    /// Tells whether all objects of an optional resource may be read.
    pub(crate) fn may_list(&self, resource: Resource) -> bool {
        let wanted = Right { verb: "list", group: resource.group, resource: resource.plural };
        self.optional.contains(&wanted)
    }
}

/// Asks the server what the driver may do in the target's namespace.
///
/// One request in most cases: only what the server's list of rules does not show is asked for one
/// by one, because that list may be incomplete.
///
/// # Errors
/// [`ClusterError::Forbidden`] that names all that is missing.
pub(crate) async fn rights(requests: &Requests, target: &Target) -> Result<Rights, ClusterError> {
    let namespace = target.namespace.as_str();
    let (mut needed, mut optional) = (Vec::new(), Vec::new());
    for rule in RULES {
        let all = rule.verbs.iter();
        let all = all.map(|verb| Right { verb, group: rule.group, resource: rule.resource });
        if rule.need.applies_to(target.kind) {
            needed.extend(all);
        } else if rule.need == Need::Optional {
            optional.extend(all);
        }
    }
    let granted = granted(requests, namespace).await?;
    let is_granted = |right: &Right| granted.iter().any(|rule| rule.grants(right));
    let open = needed.into_iter().filter(|right| !is_granted(right));
    let missing: Vec<Right> = futures::stream::iter(open)
        .map(|right| async move { (right, is_allowed(requests, namespace, right).await) })
        .buffered(AT_A_TIME)
        .filter_map(|(right, allowed)| async move {
            match allowed {
                Ok(true) => None,
                Ok(false) => Some(Ok(right)),
                Err(failure) => Some(Err(failure)),
            }
        })
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<_, Failure>>()?;
    if !missing.is_empty() {
        return Err(forbidden(namespace, &missing));
    }
    optional.retain(is_granted);
    Ok(Rights { optional })
}

fn forbidden(namespace: &str, missing: &[Right]) -> ClusterError {
    let name = |right: &Right| match right.group {
        "" => format!("{} {}", right.verb, right.resource),
        group => format!("{} {}.{group}", right.verb, right.resource),
    };
    let all: Vec<String> = missing.iter().map(name).collect();
    ClusterError::Forbidden {
        action: all.join(", "),
        object: format!("in namespace {namespace}"),
        source: Arc::new(Denied),
    }
}

/// The cause of a refusal that no write had to provoke.
#[derive(Debug, Error)]
#[error("the server says so when asked (SelfSubjectAccessReview)")]
struct Denied;

/// A rule of the server's list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Granted {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

impl Granted {
    /// Tells whether the rule grants the right for all names.
    fn grants(&self, right: &Right) -> bool {
        let any = |list: &[String], wanted: &str| list.iter().any(|it| it == "*" || it == wanted);
        self.resource_names.is_empty()
            && any(&self.verbs, right.verb)
            && any(&self.api_groups, right.group)
            && any(&self.resources, right.resource)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RulesReview {
    status: RulesStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RulesStatus {
    resource_rules: Vec<Granted>,
}

/// Asks for the list of rules; a server without such a list gives an empty one.
async fn granted(requests: &Requests, namespace: &str) -> Result<Vec<Granted>, Failure> {
    let review = json!({
        "apiVersion": Resource::RULES_REVIEWS.api_version(),
        "kind": Resource::RULES_REVIEWS.kind,
        "spec": { "namespace": namespace },
    });
    match requests.review::<RulesReview>(Resource::RULES_REVIEWS, &review).await {
        Ok(review) => Ok(review.status.resource_rules),
        Err(failure) if failure.answer().is_some_and(|answer| answer.code.is_client_error()) => {
            Ok(Vec::new())
        }
        Err(failure) => Err(failure),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AccessReview {
    status: AccessStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AccessStatus {
    allowed: bool,
}

/// Asks for one right.
async fn is_allowed(requests: &Requests, namespace: &str, right: Right) -> Result<bool, Failure> {
    let review = json!({
        "apiVersion": Resource::ACCESS_REVIEWS.api_version(),
        "kind": Resource::ACCESS_REVIEWS.kind,
        "spec": { "resourceAttributes": {
            "namespace": namespace,
            "verb": right.verb,
            "group": right.group,
            "resource": right.resource,
        } },
    });
    match requests.review::<AccessReview>(Resource::ACCESS_REVIEWS, &review).await {
        Ok(review) => Ok(review.status.allowed),
        // A server that cannot be asked: the first write will tell.
        Err(failure) if failure.is_not_found() => Ok(true),
        Err(failure) => Err(failure),
    }
}
