//! What stands in the cells of built-in kinds.

use serde_json::Value;

use super::column::Row;
use super::duration::{age, between};
use crate::object::Object;

/// Lists of addresses and ports show so many items.
const LISTED: usize = 3;

pub(super) fn text(row: &Row<'_>, pointer: &str) -> Value {
    row.object.text(pointer).unwrap_or_default().into()
}

pub(super) fn or_none(row: &Row<'_>, pointer: &str) -> Value {
    row.object.text(pointer).filter(|text| !text.is_empty()).unwrap_or("<none>").into()
}

pub(super) fn count(row: &Row<'_>, pointer: &str) -> Value {
    row.object.int(pointer).unwrap_or_default().into()
}

pub(super) fn of(row: &Row<'_>, part: &str, whole: &str) -> Value {
    let number = |pointer| row.object.int(pointer).unwrap_or_default();
    format!("{}/{}", number(part), number(whole)).into()
}

pub(super) fn size(row: &Row<'_>, map: &str) -> usize {
    row.object[map].as_object().map_or(0, serde_json::Map::len)
}

pub(super) fn int_or_text(row: &Row<'_>, pointer: &str) -> Value {
    match row.object.pointer(pointer) {
        Some(Value::String(text)) => text.as_str().into(),
        Some(Value::Number(number)) => number.to_string().into(),
        _ => "N/A".into(),
    }
}

/// Shows labels as `a=1,b=2`.
pub(super) fn labels(map: Option<&Value>) -> Value {
    let pairs = map.and_then(Value::as_object).into_iter().flatten();
    let pairs = pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    match pairs.collect::<Vec<_>>().join(",").as_str() {
        "" => "<none>".into(),
        text => text.into(),
    }
}

/// Names or images of the containers of a pod template.
pub(super) fn template(row: &Row<'_>, member: &str) -> Value {
    let containers = row.object.pointer("/spec/template/spec/containers");
    joined(containers, |item| item[member].as_str().map(str::to_owned)).into()
}

pub(super) fn subjects(row: &Row<'_>, kind: &str) -> Value {
    let all = row.object["subjects"].as_array().into_iter().flatten();
    let names = all.filter(|subject| subject["kind"] == kind).map(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match kind {
            "ServiceAccount" => {
                format!("{}/{name}", subject["namespace"].as_str().unwrap_or_default())
            }
            _ => name.to_owned(),
        }
    });
    names.collect::<Vec<_>>().join(", ").into()
}

pub(super) fn controller(row: &Row<'_>) -> Value {
    let owners = row.object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let owner = owners.into_iter().find(|owner| owner["controller"] == true);
    owner.map_or("<none>".into(), |owner| {
        let part = |key: &str| owner[key].as_str().unwrap_or_default().to_lowercase();
        let group = part("apiVersion");
        let group = group.split_once('/').map(|(group, _)| format!(".{group}"));
        let name = owner["name"].as_str().unwrap_or_default();
        format!("{}{}/{name}", part("kind"), group.unwrap_or_default()).into()
    })
}

pub(super) fn job_status(row: &Row<'_>) -> Value {
    let conditions = row.object.pointer("/status/conditions").and_then(Value::as_array);
    let holds = |kind: &str| {
        let mut all = conditions.into_iter().flatten();
        all.any(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    let known = [
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("", "Terminating"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ];
    let found = known.iter().find(|(kind, _)| match *kind {
        "" => row.object.is_terminating(),
        kind => holds(kind),
    });
    found.map_or("Running", |(_, shown)| shown).into()
}

pub(super) fn job_completions(row: &Row<'_>) -> Value {
    let succeeded = row.object.int("/status/succeeded").unwrap_or_default();
    let parallelism = row.object.int("/spec/parallelism").unwrap_or_default();
    match row.object.int("/spec/completions") {
        Some(completions) => format!("{succeeded}/{completions}").into(),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}").into(),
        None => format!("{succeeded}/1").into(),
    }
}

pub(super) fn job_duration(row: &Row<'_>) -> Value {
    let status = &row.object["status"];
    if !status["startTime"].is_string() {
        return "".into();
    }
    let whole = between(&status["startTime"], &status["completionTime"]);
    whole.unwrap_or_else(|| age(&status["startTime"], row.now)).into()
}

pub(super) fn first_seen(row: &Row<'_>) -> Value {
    let first = row.object.get("firstTimestamp").filter(|time| time.is_string());
    age(first.unwrap_or(&row.object["eventTime"]), row.now).into()
}

pub(super) fn last_seen(row: &Row<'_>) -> Value {
    let series = row.object.pointer("/series/lastObservedTime");
    let last = series.or_else(|| row.object.get("lastTimestamp")).filter(|time| time.is_string());
    last.map_or_else(|| first_seen(row), |time| age(time, row.now).into())
}

pub(super) fn event_source(row: &Row<'_>) -> Value {
    let first = |old: &str, new: &str| {
        let text = row.object.text(old).filter(|text| !text.is_empty());
        text.or(row.object.text(new)).unwrap_or_default().to_owned()
    };
    let component = first("/source/component", "/reportingComponent");
    match first("/source/host", "/reportingInstance").as_str() {
        "" => component.into(),
        instance => format!("{component}, {instance}").into(),
    }
}

pub(super) fn node_status(row: &Row<'_>) -> Value {
    let conditions = row.object.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let mut status = match ready.map(|ready| ready["status"] == "True") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if row.object["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    status.into()
}

pub(super) fn node_roles(row: &Row<'_>) -> Value {
    let labels = row.object["metadata"]["labels"].as_object().into_iter().flatten();
    let roles = labels.filter_map(|(key, value)| match key.as_str() {
        "kubernetes.io/role" => value.as_str(),
        key => key.strip_prefix("node-role.kubernetes.io/").filter(|role| !role.is_empty()),
    });
    match roles.collect::<Vec<_>>().join(",").as_str() {
        "" => "<none>".into(),
        roles => roles.into(),
    }
}

pub(super) fn node_address(row: &Row<'_>, kind: &str) -> Value {
    let all = row.object.pointer("/status/addresses").and_then(Value::as_array);
    let found = all.into_iter().flatten().find(|address| address["type"] == kind);
    found.map_or("<none>".into(), |address| address["address"].clone())
}

pub(super) fn node_info(row: &Row<'_>, field: &str) -> Value {
    let known = row.object["status"]["nodeInfo"][field].as_str().filter(|text| !text.is_empty());
    known.unwrap_or("<unknown>").into()
}

pub(super) fn quota(row: &Row<'_>, limits: bool) -> Value {
    let status = &row.object["status"];
    let hard = status["hard"].as_object().into_iter().flatten();
    let parts =
        hard.filter(|(name, _)| name.starts_with("limits.") == limits).map(|(name, hard)| {
            let used = status["used"][name].as_str().unwrap_or("0");
            format!("{name}: {used}/{}", hard.as_str().unwrap_or_default())
        });
    parts.collect::<Vec<_>>().join(", ").into()
}

pub(super) fn external_ip(row: &Row<'_>) -> Value {
    let spec = &row.object["spec"];
    let mut all = joined(spec.get("externalIPs"), |item| item.as_str().map(str::to_owned));
    match spec["type"].as_str().unwrap_or_default() {
        "ExternalName" => spec["externalName"].clone(),
        "LoadBalancer" => {
            let ingress = row.object.pointer("/status/loadBalancer/ingress");
            let own = joined(ingress, |item| {
                item["ip"].as_str().or(item["hostname"].as_str()).map(str::to_owned)
            });
            if !own.is_empty() {
                all = if all.is_empty() { own } else { format!("{own},{all}") };
            }
            if all.is_empty() { "<pending>".into() } else { all.into() }
        }
        _ if all.is_empty() => "<none>".into(),
        _ => all.into(),
    }
}

pub(super) fn ports(row: &Row<'_>) -> Value {
    let all = joined(row.object.pointer("/spec/ports"), |port| {
        let (number, protocol) = (port["port"].as_i64()?, port["protocol"].as_str()?);
        Some(match port["nodePort"].as_i64().filter(|node_port| *node_port > 0) {
            Some(node_port) => format!("{number}:{node_port}/{protocol}"),
            None => format!("{number}/{protocol}"),
        })
    });
    if all.is_empty() { "<none>".into() } else { all.into() }
}

pub(super) fn endpoints(row: &Row<'_>) -> Value {
    let mut all = Vec::new();
    for subset in row.object["subsets"].as_array().into_iter().flatten() {
        let addresses = subset["addresses"].as_array().map_or(&[][..], Vec::as_slice);
        let ips = addresses.iter().filter_map(|address| address["ip"].as_str());
        match subset["ports"].as_array().filter(|ports| !ports.is_empty()) {
            None => all.extend(ips.map(str::to_owned)),
            Some(ports) => {
                for port in ports {
                    all.extend(ips.clone().map(|ip| format!("{ip}:{}", port["port"])));
                }
            }
        }
    }
    if all.is_empty() { "<none>".into() } else { listed(&all) }
}

pub(super) fn slice_ports(row: &Row<'_>) -> Value {
    let ports = row.object["ports"].as_array().into_iter().flatten();
    let ports = ports.map(|port| match (port["port"].as_i64(), port["name"].as_str()) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    });
    listed(&ports.collect::<Vec<_>>())
}

pub(super) fn slice_endpoints(row: &Row<'_>) -> Value {
    let endpoints = row.object["endpoints"].as_array().into_iter().flatten();
    let addresses = endpoints.flat_map(|it| it["addresses"].as_array().into_iter().flatten());
    let addresses = addresses.filter_map(Value::as_str).map(str::to_owned);
    listed(&addresses.collect::<Vec<_>>())
}

/// Shows the first items and the number of the others.
fn listed(all: &[String]) -> Value {
    let shown = all.iter().take(LISTED).cloned().collect::<Vec<_>>().join(",");
    match all.len() {
        0 => "<unset>".into(),
        more if more > LISTED => format!("{shown} + {} more...", more - LISTED).into(),
        _ => shown.into(),
    }
}

fn joined(list: Option<&Value>, text: impl Fn(&Value) -> Option<String>) -> String {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(text).collect::<Vec<_>>().join(",")
}
