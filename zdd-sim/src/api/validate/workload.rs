//! The kinds that make pods.

use serde_json::Value;

use super::{Errors, FieldError, pod};

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' \
    (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

/// Checks a Deployment.
pub(super) fn deployment(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &object["spec"];
    errors.not_negative(&spec["replicas"], "spec.replicas");
    required_selector(spec, "deployment", errors);
    matching_template(spec, "ReplicaSet", errors);
    deployment_strategy(&spec["strategy"], errors);
    errors.not_negative(&spec["minReadySeconds"], "spec.minReadySeconds");
    errors.not_negative(&spec["revisionHistoryLimit"], "spec.revisionHistoryLimit");
    let deadline = &spec["progressDeadlineSeconds"];
    errors.not_negative(deadline, "spec.progressDeadlineSeconds");
    let ready = spec["minReadySeconds"].as_i64().unwrap_or_default();
    if deadline.as_i64().is_some_and(|seconds| seconds <= ready) {
        let why = "must be greater than minReadySeconds";
        errors.add(FieldError::invalid("spec.progressDeadlineSeconds", deadline, why));
    }
    if let Some(old) = old {
        errors.same(spec, &old["spec"], "selector", "spec");
    }
}

/// Checks a ReplicaSet.
pub(super) fn replica_set(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &object["spec"];
    errors.not_negative(&spec["replicas"], "spec.replicas");
    errors.not_negative(&spec["minReadySeconds"], "spec.minReadySeconds");
    required_selector(spec, "deployment", errors);
    matching_template(spec, "ReplicaSet", errors);
    if let Some(old) = old {
        errors.same(spec, &old["spec"], "selector", "spec");
    }
}

/// Checks a StatefulSet.
pub(super) fn stateful_set(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &object["spec"];
    let policy = &spec["podManagementPolicy"];
    if !matches!(policy.as_str(), Some("OrderedReady" | "Parallel")) {
        let why = "must be 'OrderedReady' or 'Parallel'";
        errors.add(FieldError::invalid("spec.podManagementPolicy", policy, why));
    }
    let strategy = &spec["updateStrategy"];
    match strategy["type"].as_str() {
        Some("RollingUpdate") => {
            let path = "spec.updateStrategy.rollingUpdate";
            let rolling = &strategy["rollingUpdate"];
            errors.not_negative(&rolling["partition"], &format!("{path}.partition"));
            if !rolling["maxUnavailable"].is_null() {
                amount(&rolling["maxUnavailable"], &format!("{path}.maxUnavailable"), errors);
                positive(&rolling["maxUnavailable"], &format!("{path}.maxUnavailable"), errors);
            }
        }
        Some("OnDelete") if strategy["rollingUpdate"].is_null() => {}
        Some("OnDelete") => errors.add(FieldError::invalid(
            "spec.updateStrategy.rollingUpdate",
            &strategy["rollingUpdate"],
            "only allowed for updateStrategy 'RollingUpdate'",
        )),
        _ => {
            let why = "must be 'RollingUpdate' or 'OnDelete'";
            errors.add(FieldError::invalid("spec.updateStrategy", strategy, why));
        }
    }
    errors.not_negative(&spec["replicas"], "spec.replicas");
    errors.not_negative(&spec["minReadySeconds"], "spec.minReadySeconds");
    required_selector(spec, "statefulset", errors);
    matching_template(spec, "StatefulSet", errors);
    if let Some(old) = old {
        for key in ["selector", "volumeClaimTemplates", "serviceName", "podManagementPolicy"] {
            errors.same(spec, &old["spec"], key, "spec");
        }
    }
}

/// Checks a DaemonSet.
pub(super) fn daemon_set(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &object["spec"];
    required_selector(spec, "daemonset", errors);
    matching_template(spec, "DaemonSet", errors);
    errors.not_negative(&spec["minReadySeconds"], "spec.minReadySeconds");
    let strategy = &spec["updateStrategy"];
    match strategy["type"].as_str() {
        Some("RollingUpdate") => daemon_rolling(&strategy["rollingUpdate"], errors),
        Some("OnDelete") => {}
        _ => errors.one_of(strategy, &["RollingUpdate", "OnDelete"], "spec.updateStrategy"),
    }
    errors.not_negative(&spec["revisionHistoryLimit"], "spec.revisionHistoryLimit");
    if let Some(old) = old {
        errors.same(spec, &old["spec"], "selector", "spec");
    }
}

/// Checks a Job.
pub(super) fn job(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &object["spec"];
    for key in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit"] {
        errors.not_negative(&spec[key], &format!("spec.{key}"));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    if spec["selector"].is_object() && !selects(&spec["selector"], labels) {
        let why = "`selector` does not match template `labels`";
        errors.add(FieldError::invalid("spec.template.metadata.labels", labels, why));
    }
    pod::template(&spec["template"], "spec.template", errors);
    if spec["template"]["spec"]["restartPolicy"] == "Always" {
        let path = "spec.template.spec.restartPolicy";
        errors.add(FieldError::required(path, "valid values: \"OnFailure\", \"Never\""));
    }
    if let Some(old) = old {
        for key in ["completions", "selector", "template"] {
            errors.same(spec, &old["spec"], key, "spec");
        }
    }
}

/// Checks a HorizontalPodAutoscaler.
pub(super) fn autoscaler(object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    let (least, most) = (&spec["minReplicas"], &spec["maxReplicas"]);
    if least.as_i64().is_some_and(|number| number < 1) {
        let why = "must be greater than or equal to 1";
        errors.add(FieldError::invalid("spec.minReplicas", least, why));
    }
    let number = most.as_i64().unwrap_or_default();
    if number < 1 {
        errors.add(FieldError::invalid("spec.maxReplicas", most, "must be greater than 0"));
    } else if least.as_i64().is_some_and(|least| number < least) {
        let why = "must be greater than or equal to `minReplicas`";
        errors.add(FieldError::invalid("spec.maxReplicas", most, why));
    }
}

fn required_selector(spec: &Value, kind: &str, errors: &mut Errors) {
    let selector = &spec["selector"];
    if !selector.is_object() {
        errors.add(FieldError::required("spec.selector", ""));
        return;
    }
    let labels = selector["matchLabels"].as_object().map_or(0, serde_json::Map::len);
    let expressions = selector["matchExpressions"].as_array().map_or(0, Vec::len);
    if labels + expressions == 0 {
        let why = format!("empty selector is invalid for {kind}");
        errors.add(FieldError::invalid("spec.selector", selector, why));
    }
}

fn matching_template(spec: &Value, kind: &str, errors: &mut Errors) {
    let template = &spec["template"];
    let labels = &template["metadata"]["labels"];
    if !selects(&spec["selector"], labels) {
        let why = "`selector` does not match template `labels`";
        errors.add(FieldError::invalid("spec.template.metadata.labels", labels, why));
    }
    pod::template(template, "spec.template", errors);
    let pod = &template["spec"];
    if matches!(pod["restartPolicy"].as_str(), Some("Never" | "OnFailure")) {
        let path = "spec.template.spec.restartPolicy";
        errors.one_of(&pod["restartPolicy"], &["Always"], path);
    }
    if !pod["activeDeadlineSeconds"].is_null() {
        let path = "spec.template.spec.activeDeadlineSeconds";
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.add(FieldError::forbidden(path, &why));
    }
}

/// Tells whether a label selector matches; one that is missing matches nothing.
fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector["matchLabels"].as_object().into_iter().flatten();
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    let expression = |it: &Value| {
        let found = it["key"].as_str().and_then(|key| labels.get(key));
        let listed = it["values"]
            .as_array()
            .is_some_and(|all| found.is_some_and(|found| all.contains(found)));
        match it["operator"].as_str() {
            Some("In") => listed,
            Some("NotIn") => !listed,
            Some("Exists") => found.is_some(),
            Some("DoesNotExist") => found.is_none(),
            _ => false,
        }
    };
    selector.is_object() && { wanted }.all(|(key, value)| labels.get(key) == Some(value)) && {
        expressions
    }
    .all(expression)
}

fn deployment_strategy(strategy: &Value, errors: &mut Errors) {
    let rolling = &strategy["rollingUpdate"];
    match strategy["type"].as_str() {
        Some("Recreate") if rolling.is_null() => {}
        Some("Recreate") => errors.add(FieldError::forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        )),
        Some("RollingUpdate") => {
            let path = "spec.strategy.rollingUpdate";
            let (gone, more) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
            amount(gone, &format!("{path}.maxUnavailable"), errors);
            amount(more, &format!("{path}.maxSurge"), errors);
            if number(gone) == 0 && number(more) == 0 {
                let why = "may not be 0 when `maxSurge` is 0";
                errors.add(FieldError::invalid(format!("{path}.maxUnavailable"), gone, why));
            }
            at_most_all(gone, &format!("{path}.maxUnavailable"), errors);
        }
        _ => errors.one_of(strategy, &["Recreate", "RollingUpdate"], "spec.strategy"),
    }
}

fn daemon_rolling(rolling: &Value, errors: &mut Errors) {
    let path = "spec.updateStrategy.rollingUpdate";
    let (gone, more) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
    for (value, name) in [(gone, "maxUnavailable"), (more, "maxSurge")] {
        amount(value, &format!("{path}.{name}"), errors);
        at_most_all(value, &format!("{path}.{name}"), errors);
    }
    match (number(gone), number(more)) {
        (0, 0) => {
            let why = "cannot be 0 when maxSurge is 0";
            errors.add(FieldError::invalid(format!("{path}.maxUnavailable"), gone, why));
        }
        (1.., 1..) => {
            let why = "may not be set when maxUnavailable is non-zero";
            errors.add(FieldError::invalid(format!("{path}.maxSurge"), more, why));
        }
        _ => {}
    }
}

/// A count or a percentage.
fn amount(value: &Value, path: &str, errors: &mut Errors) {
    match value.as_str() {
        None => errors.not_negative(value, path),
        Some(text) if percent(text).is_none() => {
            errors.add(FieldError::invalid(path, value, PERCENT));
        }
        Some(_) => {}
    }
}

fn positive(value: &Value, path: &str, errors: &mut Errors) {
    if number(value) == 0 {
        errors.add(FieldError::invalid(path, value, "cannot be 0"));
    }
}

fn at_most_all(value: &Value, path: &str, errors: &mut Errors) {
    if value.as_str().and_then(percent).is_some_and(|percent| percent > 100) {
        errors.add(FieldError::invalid(path, value, "must not be greater than 100%"));
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().or_else(|| percent(value.as_str()?)).unwrap_or_default()
}

fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
