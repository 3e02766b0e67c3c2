//! Deployments, StatefulSets and DaemonSets, in one view: they share most fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zdd_core::{Amount, InvalidAmount, Part, Template};

use crate::objects::{Fingerprint, Truth, normalized, nullable};

/// A workload.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Workload {
    pub(crate) spec: Spec,
    #[serde(default)]
    pub(crate) status: Status,
}

/// What is wanted.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    pub(crate) replicas: Option<u32>,
    pub(crate) selector: Selector,
    pub(crate) template: Stored,
    #[serde(default)]
    pub(crate) paused: bool,
    #[serde(default)]
    pub(crate) min_ready_seconds: u32,
    // Deployments call it `strategy`.
    #[serde(default, alias = "strategy")]
    pub(crate) update_strategy: Strategy,
}

/// The template as it is stored, and what it is compared by with those of the history.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) template: Template,
    pub(crate) fingerprint: Fingerprint,
}

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let template = Value::deserialize(deserializer).map(normalized)?;
        let fingerprint = Fingerprint::of(&template);
        Ok(Self { template, fingerprint })
    }
}

impl Workload {
    /// Tells whether the controller is told to leave the pods alone: `spec.paused` of a Deployment,
    /// `OnDelete` of the others.
    pub(crate) fn is_held(&self) -> bool {
        self.spec.paused || self.spec.update_strategy.r#type == StrategyKind::OnDelete
    }

    /// Returns the desired template.
    pub(crate) fn template(&self) -> &Template {
        &self.spec.template.template
    }
}

/// How pods are replaced.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Strategy {
    pub(crate) r#type: StrategyKind,
    pub(crate) rolling_update: Option<RollingUpdate>,
}

/// The ways to replace pods.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(crate) enum StrategyKind {
    OnDelete,
    Recreate,
    #[default]
    RollingUpdate,
    #[serde(other)]
    Other,
}

/// The knobs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RollingUpdate {
    pub(crate) max_surge: Option<IntOrString>,
    pub(crate) max_unavailable: Option<IntOrString>,
    pub(crate) partition: Option<u32>,
}

/// A number, or a percentage as text.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(crate) enum IntOrString {
    Int(u32),
    String(String),
}

impl IntOrString {
    pub(crate) fn amount(&self) -> Result<Amount, InvalidAmount> {
        match self {
            Self::Int(count) => Ok(Amount::Count(*count)),
            Self::String(text) => text.parse(),
        }
    }

    pub(crate) fn part(&self) -> Result<Part, InvalidAmount> {
        self.amount()?.try_into()
    }
}

/// Which pods belong to a workload.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Selector {
    #[serde(deserialize_with = "nullable")]
    pub(crate) match_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) match_expressions: Vec<Expression>,
}

/// One condition on one label.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Expression {
    key: String,
    operator: Operator,
    #[serde(default, deserialize_with = "nullable")]
    values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub(crate) enum Operator {
    DoesNotExist,
    Exists,
    In,
    NotIn,
}

impl Selector {
    /// Writes the selector as a query parameter.
    pub(crate) fn query(&self) -> String {
        let labels = self.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
        let expressions = self.match_expressions.iter().map(|expression| {
            let Expression { key, operator, values } = expression;
            let values = values.join(",");
            match operator {
                Operator::DoesNotExist => format!("!{key}"),
                Operator::Exists => key.clone(),
                Operator::In => format!("{key} in ({values})"),
                Operator::NotIn => format!("{key} notin ({values})"),
            }
        });
        labels.chain(expressions).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        equal
            && self.match_expressions.iter().all(|expression| {
                let value = labels.get(&expression.key);
                let listed = || value.is_some_and(|value| expression.values.contains(value));
                match expression.operator {
                    Operator::DoesNotExist => value.is_none(),
                    Operator::Exists => value.is_some(),
                    Operator::In => listed(),
                    Operator::NotIn => !listed(),
                }
            })
    }
}

/// What the controller reports.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Status {
    pub(crate) observed_generation: i64,
    pub(crate) replicas: u32,
    pub(crate) updated_replicas: u32,
    pub(crate) ready_replicas: u32,
    pub(crate) available_replicas: u32,
    // StatefulSets.
    pub(crate) current_revision: String,
    pub(crate) update_revision: String,
    // DaemonSets.
    pub(crate) desired_number_scheduled: u32,
    pub(crate) current_number_scheduled: u32,
    pub(crate) updated_number_scheduled: u32,
    pub(crate) number_ready: u32,
    pub(crate) number_available: u32,
    #[serde(deserialize_with = "nullable")]
    pub(crate) conditions: Vec<Condition>,
}

impl Status {
    pub(crate) fn condition(&self, kind: ConditionKind) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.r#type == kind)
    }
}

/// One condition of a workload.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Condition {
    pub(crate) r#type: ConditionKind,
    pub(crate) status: Truth,
    #[serde(default)]
    pub(crate) reason: ConditionReason,
    #[serde(default)]
    pub(crate) message: String,
}

/// The conditions that zdd looks at.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub(crate) enum ConditionKind {
    Available,
    Progressing,
    ReplicaFailure,
    #[serde(other)]
    Other,
}

/// The reasons that zdd tells apart.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(crate) enum ConditionReason {
    ProgressDeadlineExceeded,
    #[default]
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_query_and_match_alike() {
        let selector: Selector = serde_json::from_value(json!({
            "matchLabels": { "app": "web" },
            "matchExpressions": [
                { "key": "tier", "operator": "In", "values": ["front", "edge"] },
                { "key": "legacy", "operator": "DoesNotExist" },
            ],
        }))
        .unwrap();
        assert_eq!(selector.query(), "app=web,tier in (front,edge),!legacy");
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert!(selector.matches(&labels(&[("app", "web"), ("tier", "edge")])));
        assert!(!selector.matches(&labels(&[("app", "web")])));
        assert!(!selector.matches(&labels(&[("app", "web"), ("tier", "edge"), ("legacy", "")])));
    }
}
