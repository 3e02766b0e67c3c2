//! The patch of a step: only the fields of the step, on conditions. Pure.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, ReplaceOperation};
use kube::api::Patch;
use serde_json::{Value, json};
use zdd_core::{
    Amount, ClusterError, Mark, RolloutId, Settings, Step, Target, Template, WorkloadKind,
};

use crate::names::{EPOCH_LABEL, ROLLOUT_ANNOTATION};
use crate::objects::{Meta, Object, Workload};

/// The changes that a step makes.
pub(crate) type Fields = Vec<PatchOperation>;

/// Guards changes by the uid and resourceVersion of the object that they were worked out on, and
/// marks the object with the driver's epoch in the same write.
///
/// The server reads the two replaced fields as preconditions and answers 409 when they do not
/// hold.
pub(crate) fn guarded(mark: &Mark<'_>, present: &Object<Workload>, fields: Fields) -> Patch<Value> {
    let meta = &present.meta;
    let mut operations = preconditions(meta);
    operations.extend(fields);
    if crate::snapshot::epoch(meta) != Some(mark.epoch) {
        operations.extend(entry(
            "labels",
            meta.labels.is_empty(),
            EPOCH_LABEL,
            &mark.epoch.to_string(),
        ));
    }
    Patch::Json(json_patch::Patch(operations))
}

/// Makes the write fail unless the object is the one that was seen, in the state that was seen.
pub(crate) fn preconditions(meta: &Meta) -> Fields {
    vec![
        replace(["metadata", "uid"], json!(meta.uid)),
        replace(["metadata", "resourceVersion"], json!(meta.version)),
    ]
}

/// Works out the changes of a step to the workload as it is.
pub(crate) fn fields(
    target: &Target,
    step: &Step,
    present: &Object<Workload>,
    rollout: &RolloutId,
) -> Result<Fields, ClusterError> {
    let mut fields = Fields::new();
    match step {
        // It changes another object.
        Step::DeletePod { .. } => {}
        Step::Pause => fields.push(paused(target, true)?),
        Step::Resume => fields.push(paused(target, false)?),
        Step::SetPartition { partition } => {
            let mut settings = Settings::default();
            settings.partition = Some(*partition);
            fields.extend(knobs(target, &settings, present)?);
        }
        Step::RestoreSettings { settings } => fields.extend(knobs(target, settings, present)?),
        Step::SetTemplate { template, settings } => {
            fields.extend(set_template(target, template, settings, present)?);
            let none = present.meta.annotations.is_empty();
            // Constant for the rollout, and in this very write: an annotation of its own would
            // cost another generation.
            fields.extend(entry("annotations", none, ROLLOUT_ANNOTATION, rollout.as_str()));
        }
    }
    Ok(fields)
}

/// Sets the template, and the knobs with it.
fn set_template(
    target: &Target,
    template: &Template,
    settings: &Settings,
    present: &Object<Workload>,
) -> Result<Fields, ClusterError> {
    let mut fields = vec![replace(["spec", "template"], template.as_value().clone())];
    fields.extend(knobs(target, settings, present)?);
    Ok(fields)
}

fn paused(target: &Target, paused: bool) -> Result<PatchOperation, ClusterError> {
    if target.kind == WorkloadKind::Deployment {
        return Ok(add(["spec", "paused"], json!(paused)));
    }
    let problem = format!("a {} cannot be paused; only a Deployment can", target.kind);
    Err(ClusterError::refused(target, problem))
}

/// Sets the knobs that are named.
fn knobs(
    target: &Target,
    settings: &Settings,
    present: &Object<Workload>,
) -> Result<Fields, ClusterError> {
    let kind = target.kind;
    if settings.partition.is_some() && kind != WorkloadKind::StatefulSet {
        let problem = format!("a {kind} has no partition; only a StatefulSet has");
        return Err(ClusterError::refused(target, problem));
    }
    if settings.max_surge.is_some() && kind == WorkloadKind::StatefulSet {
        let problem = "a StatefulSet has no maxSurge: it replaces pods in place";
        return Err(ClusterError::refused(target, problem));
    }
    let strategy = if kind == WorkloadKind::Deployment { "strategy" } else { "updateStrategy" };
    let mut fields = Fields::new();
    let rolling = [
        ("maxSurge", settings.max_surge.map(amount)),
        ("maxUnavailable", settings.max_unavailable.map(|part| amount(part.into()))),
        ("partition", settings.partition.map(|partition| json!(partition))),
    ];
    let rolling: Vec<(&str, Value)> =
        rolling.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    if !rolling.is_empty() {
        if present.body.spec.update_strategy.rolling_update.is_none() {
            fields.push(add(["spec", strategy, "rollingUpdate"], json!({})));
        }
        for (name, value) in rolling {
            fields.push(add(["spec", strategy, "rollingUpdate", name], value));
        }
    }
    if let Some(seconds) = settings.min_ready_seconds {
        fields.push(add(["spec", "minReadySeconds"], json!(seconds)));
    }
    Ok(fields)
}

fn amount(amount: Amount) -> Value {
    match amount {
        Amount::Count(count) => json!(count),
        Amount::Percent(_) => json!(amount.to_string()),
    }
}

/// Sets one label or annotation; the map has to be made when it is not there.
pub(crate) fn entry(map: &str, empty: bool, key: &str, value: &str) -> Fields {
    let mut fields = Fields::new();
    if empty {
        fields.push(add(["metadata", map], json!({})));
    }
    fields.push(add(["metadata", map, key], json!(value)));
    fields
}

fn add<const N: usize>(path: [&str; N], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path), value })
}

fn replace<const N: usize>(path: [&str; N], value: Value) -> PatchOperation {
    PatchOperation::Replace(ReplaceOperation { path: PointerBuf::from_tokens(path), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_slashes_are_escaped() {
        let fields = json_patch::Patch(entry("labels", true, EPOCH_LABEL, "3"));
        let mut object = json!({ "metadata": {} });
        let text = serde_json::to_string(&fields).unwrap();
        json_patch::patch(&mut object, &fields).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(object, json!({ "metadata": { "labels": { EPOCH_LABEL: "3" } } }));
    }
}
