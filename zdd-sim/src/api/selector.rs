//! Label and field selectors.

use serde_json::Value;

use super::resource::Resource;
use super::status::ApiStatus;
use super::validate::{NAME_PART, is_word};
use crate::object::Object;

/// Which objects of a collection are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<(String, Test)>,
    fields: Vec<(String, Test)>,
}

#[derive(Clone, Debug)]
enum Test {
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Present,
}

impl Selector {
    /// # Errors
    /// 400 when a selector cannot be parsed, or names a field that this kind does not index.
    pub(crate) fn parse(
        resource: &Resource,
        labels: &str,
        fields: &str,
    ) -> Result<Self, ApiStatus> {
        let labels = split(labels).map(label_test).collect::<Result<_, _>>()?;
        let fields: Vec<_> = split(fields).map(field_test).collect::<Result<_, _>>()?;
        for (field, _) in &fields {
            check_field(resource, field)?;
        }
        Ok(Self { labels, fields })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one name that can match, so that a watch of one object need not look at others.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields.iter().find_map(|(field, test)| match test {
            Test::In(values) if field == "metadata.name" && values.len() == 1 => {
                values.first().map(String::as_str)
            }
            Test::Absent | Test::In(_) | Test::NotIn(_) | Test::Present => None,
        })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = self.labels.iter().all(|(key, test)| test.holds(object.label(key)));
        labels
            && self.fields.iter().all(|(field, test)| {
                test.holds(Some(field_of(object, field).unwrap_or_default().as_str()))
            })
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        match self {
            Self::Absent => value.is_none(),
            Self::In(all) => value.is_some_and(|value| all.iter().any(|one| one == value)),
            Self::NotIn(all) => value.is_none_or(|value| all.iter().all(|one| one != value)),
            Self::Present => value.is_some(),
        }
    }
}

/// Splits at the commas outside of parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

fn label_test(text: &str) -> Result<(String, Test), ApiStatus> {
    let bad = |why: &str| {
        ApiStatus::bad_request(format!("unable to parse requirement: {why}: \"{text}\""))
    };
    if let Some(list) = text.strip_suffix(')') {
        let (head, values) = list.split_once('(').ok_or_else(|| bad("found ')'"))?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => Ok((key.to_owned(), Test::In(values))),
            (Some(key), Some("notin"), None) => Ok((key.to_owned(), Test::NotIn(values))),
            _ => Err(bad("expected: in, notin")),
        };
    }
    if let Some((key, test)) = equality(text) {
        check_key(&key)?;
        return Ok((key, test));
    }
    let (key, test) = match text.strip_prefix('!') {
        Some(key) => (key.trim(), Test::Absent),
        None => (text, Test::Present),
    };
    match key.split_whitespace().collect::<Vec<_>>().as_slice() {
        [_] => {}
        [_, "in" | "notin", found, ..] => {
            return Err(wrong(&format!("found '{found}' expected: '('")));
        }
        [_, found, ..] => {
            let known = "in, notin, =, ==, !=, gt, lt";
            return Err(wrong(&format!("found '{found}', expected: {known}")));
        }
        [] => return Err(wrong("found '', expected: identifier")),
    }
    check_key(key)?;
    Ok((key.to_owned(), test))
}

fn wrong(why: &str) -> ApiStatus {
    ApiStatus::bad_request(format!("unable to parse requirement: {why}"))
}

fn check_key(key: &str) -> Result<(), ApiStatus> {
    let name = key.rsplit('/').next().unwrap_or_default();
    if is_word(name) {
        return Ok(());
    }
    Err(wrong(&format!("<nil>: Invalid value: \"{key}\": {NAME_PART}")))
}

fn field_test(text: &str) -> Result<(String, Test), ApiStatus> {
    equality(text).ok_or_else(|| {
        ApiStatus::bad_request(format!("invalid selector: '{text}'; can't understand '{text}'"))
    })
}

fn equality(text: &str) -> Option<(String, Test)> {
    let (key, value, not) = if let Some((key, value)) = text.split_once("!=") {
        (key, value, true)
    } else if let Some((key, value)) = text.split_once("==") {
        (key, value, false)
    } else {
        let (key, value) = text.split_once('=')?;
        (key, value, false)
    };
    let values = vec![value.trim().to_owned()];
    let test = if not { Test::NotIn(values) } else { Test::In(values) };
    Some((key.trim().to_owned(), test))
}

fn check_field(resource: &Resource, field: &str) -> Result<(), ApiStatus> {
    let more: &[&str] = match resource.plural() {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
        ],
        "events" if resource.group().is_empty() => &[
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "events" => &[
            "reason",
            "regarding.apiVersion",
            "regarding.fieldPath",
            "regarding.kind",
            "regarding.name",
            "regarding.namespace",
            "regarding.resourceVersion",
            "regarding.uid",
            "reportingController",
            "type",
        ],
        "jobs" => &["status.successful"],
        "namespaces" => &["status.phase"],
        "nodes" => &["spec.unschedulable"],
        "secrets" => &["type"],
        "services" => &["spec.clusterIP", "spec.type"],
        _ => &[],
    };
    if matches!(field, "metadata.name" | "metadata.namespace") || more.contains(&field) {
        return Ok(());
    }
    Err(ApiStatus::bad_request(if more.is_empty() {
        format!(
            "\"{field}\" is not a known field selector: only \"metadata.name\", \
             \"metadata.namespace\""
        )
    } else {
        format!("field label not supported: {field}")
    }))
}

/// Reads a field as text; an absent one is empty, as in the server's field sets.
fn field_of(object: &Value, field: &str) -> Option<String> {
    // Events are stored in the form of the core group.
    let path = match field {
        "source" => "source.component".to_owned(),
        "reportingController" => "reportingComponent".to_owned(),
        "status.successful" => "status.succeeded".to_owned(),
        other => other.replacen("regarding.", "involvedObject.", 1),
    };
    let mut value = object;
    for key in path.split('.') {
        value = value.get(key)?;
    }
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    })
}
