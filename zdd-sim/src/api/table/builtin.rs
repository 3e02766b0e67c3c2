//! The columns of the built-in kinds (`AddHandlers` in pkg/printers/internalversion).

use super::cell::{
    controller, count, endpoints, event_source, external_ip, first_seen, int_or_text,
    job_completions, job_duration, job_status, labels, last_seen, node_address, node_info,
    node_roles, node_status, of, or_none, ports, quota, size, slice_endpoints, slice_ports,
    subjects, template, text,
};
use super::column::Column;
use super::pod;
use crate::api::resource::Resource;
use crate::api::scale::selector_text;
use crate::object::Object;

/// Returns the columns of a resource.
pub(super) fn columns(resource: &Resource) -> Vec<Column> {
    if resource.is_custom() {
        let mut all = vec![Column::name()];
        all.extend(resource.columns().iter().cloned());
        if all.len() == 1 {
            all.push(Column::age());
        }
        return all;
    }
    let collection = resource.collection().as_str();
    workloads(collection).or_else(|| cluster(collection)).unwrap_or_else(|| match collection {
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io" => bindings(),
        "roles.rbac.authorization.k8s.io" | "clusterroles.rbac.authorization.k8s.io" => {
            vec![
                Column::name(),
                Column::text("Created At", |row| {
                    row.object["metadata"]["creationTimestamp"].clone()
                }),
            ]
        }
        _ => vec![Column::name(), Column::age()],
    })
}

fn workloads(collection: &str) -> Option<Vec<Column>> {
    Some(match collection {
        "daemonsets.apps" => daemon_set(),
        "deployments.apps" => deployment(),
        "jobs.batch" => job(),
        "pods" => pod_columns(),
        "replicasets.apps" => replica_set(),
        "statefulsets.apps" => vec![
            Column::name(),
            Column::text("Ready", |row| of(row, "/status/readyReplicas", "/spec/replicas")),
            Column::age(),
            containers(),
            images(),
        ],
        _ => return None,
    })
}

fn cluster(collection: &str) -> Option<Vec<Column>> {
    Some(match collection {
        "configmaps" => vec![
            Column::name(),
            Column::text("Data", |row| (size(row, "data") + size(row, "binaryData")).into()),
            Column::age(),
        ],
        "controllerrevisions.apps" => vec![
            Column::name(),
            Column::text("Controller", controller),
            Column::text("Revision", |row| count(row, "/revision")),
            Column::age(),
        ],
        "endpoints" => {
            vec![Column::name(), Column::text("Endpoints", endpoints), Column::age()]
        }
        "endpointslices.discovery.k8s.io" => endpoint_slice(),
        "events" => events(),
        "horizontalpodautoscalers.autoscaling" => autoscaler(),
        "leases.coordination.k8s.io" => vec![
            Column::name(),
            Column::text("Holder", |row| text(row, "/spec/holderIdentity")),
            Column::age(),
        ],
        "namespaces" => vec![
            Column::name(),
            Column::text("Status", |row| text(row, "/status/phase")),
            Column::age(),
        ],
        "nodes" => nodes(),
        "poddisruptionbudgets.policy" => disruption_budget(),
        "resourcequotas" => vec![
            Column::name(),
            Column::text("Request", |row| quota(row, false)),
            Column::text("Limit", |row| quota(row, true)),
            Column::age(),
        ],
        "secrets" => vec![
            Column::name(),
            Column::text("Type", |row| text(row, "/type")),
            Column::text("Data", |row| size(row, "data").into()),
            Column::age(),
        ],
        "services" => service(),
        _ => return None,
    })
}

fn daemon_set() -> Vec<Column> {
    vec![
        Column::name(),
        Column::number("Desired", |row| count(row, "/status/desiredNumberScheduled")),
        Column::number("Current", |row| count(row, "/status/currentNumberScheduled")),
        Column::number("Ready", |row| count(row, "/status/numberReady")),
        Column::number("Up-to-date", |row| count(row, "/status/updatedNumberScheduled")),
        Column::number("Available", |row| count(row, "/status/numberAvailable")),
        Column::text("Node Selector", |row| {
            labels(row.object.pointer("/spec/template/spec/nodeSelector"))
        }),
        Column::age(),
        containers(),
        images(),
        selector(),
    ]
}

fn deployment() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Ready", |row| of(row, "/status/readyReplicas", "/spec/replicas")),
        Column::text("Up-to-date", |row| count(row, "/status/updatedReplicas")),
        Column::text("Available", |row| count(row, "/status/availableReplicas")),
        Column::age(),
        containers(),
        images(),
        selector(),
    ]
}

fn job() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Status", job_status),
        Column::text("Completions", job_completions),
        Column::text("Duration", job_duration),
        Column::age(),
        containers(),
        images(),
        selector(),
    ]
}

fn pod_columns() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Ready", pod::ready),
        Column::text("Status", pod::status),
        Column::text("Restarts", pod::restarts),
        Column::age(),
        Column::text("IP", |row| or_none(row, "/status/podIP")).wide(),
        Column::text("Node", |row| or_none(row, "/spec/nodeName")).wide(),
        Column::text("Nominated Node", |row| or_none(row, "/status/nominatedNodeName")).wide(),
        Column::text("Readiness Gates", pod::readiness_gates).wide(),
    ]
}

fn autoscaler() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Reference", |row| {
            let target = &row.object["spec"]["scaleTargetRef"];
            let part = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
            format!("{}/{}", part("kind"), part("name")).into()
        }),
        Column::text("Targets", |row| match row.object["spec"]["metrics"].as_array() {
            Some(metrics) if !metrics.is_empty() => "<unknown>".into(),
            _ => "<none>".into(),
        }),
        Column::text("MinPods", |row| {
            row.object.int("/spec/minReplicas").map_or("<unset>".into(), |it| it.to_string().into())
        }),
        Column::text("MaxPods", |row| count(row, "/spec/maxReplicas")),
        Column::text("Replicas", |row| count(row, "/status/currentReplicas")),
        Column::age(),
    ]
}

fn service() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Type", |row| text(row, "/spec/type")),
        Column::text("Cluster-IP", |row| or_none(row, "/spec/clusterIP")),
        Column::text("External-IP", external_ip),
        Column::text("Port(s)", ports),
        Column::age(),
        Column::text("Selector", |row| labels(row.object.pointer("/spec/selector"))).wide(),
    ]
}

fn disruption_budget() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Min Available", |row| int_or_text(row, "/spec/minAvailable")),
        Column::text("Max Unavailable", |row| int_or_text(row, "/spec/maxUnavailable")),
        Column::number("Allowed Disruptions", |row| count(row, "/status/disruptionsAllowed")),
        Column::age(),
    ]
}

fn endpoint_slice() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("AddressType", |row| text(row, "/addressType")),
        Column::text("Ports", slice_ports),
        Column::text("Endpoints", slice_endpoints),
        Column::age(),
    ]
}

fn replica_set() -> Vec<Column> {
    vec![
        Column::name(),
        Column::number("Desired", |row| count(row, "/spec/replicas")),
        Column::number("Current", |row| count(row, "/status/replicas")),
        Column::number("Ready", |row| count(row, "/status/readyReplicas")),
        Column::age(),
        containers(),
        images(),
        selector(),
    ]
}

fn events() -> Vec<Column> {
    vec![
        Column::text("Last Seen", last_seen),
        Column::text("Type", |row| text(row, "/type")),
        Column::text("Reason", |row| text(row, "/reason")),
        Column::text("Object", |row| {
            let about = &row.object["involvedObject"];
            let kind = about["kind"].as_str().unwrap_or_default().to_lowercase();
            match about["name"].as_str() {
                Some(name) if !name.is_empty() => format!("{kind}/{name}").into(),
                _ => kind.into(),
            }
        }),
        Column::text("Subobject", |row| text(row, "/involvedObject/fieldPath")).wide(),
        Column::text("Source", event_source).wide(),
        Column::text("Message", |row| {
            row.object.text("/message").unwrap_or_default().trim().into()
        }),
        Column::text("First Seen", first_seen).wide(),
        Column::text("Count", |row| {
            let series = row.object.int("/series/count");
            series.or(row.object.int("/count")).filter(|count| *count > 0).unwrap_or(1).into()
        })
        .wide(),
        Column::name().wide(),
    ]
}

fn nodes() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Status", node_status),
        Column::text("Roles", node_roles),
        Column::age(),
        Column::text("Version", |row| text(row, "/status/nodeInfo/kubeletVersion")),
        Column::text("Internal-IP", |row| node_address(row, "InternalIP")).wide(),
        Column::text("External-IP", |row| node_address(row, "ExternalIP")).wide(),
        Column::text("OS-Image", |row| node_info(row, "osImage")).wide(),
        Column::text("Kernel-Version", |row| node_info(row, "kernelVersion")).wide(),
        Column::text("Container-Runtime", |row| node_info(row, "containerRuntimeVersion")).wide(),
    ]
}

fn bindings() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Role", |row| {
            let part = |key: &str| row.object["roleRef"][key].as_str().unwrap_or_default();
            format!("{}/{}", part("kind"), part("name")).into()
        }),
        Column::age(),
        Column::text("Users", |row| subjects(row, "User")).wide(),
        Column::text("Groups", |row| subjects(row, "Group")).wide(),
        Column::text("ServiceAccounts", |row| subjects(row, "ServiceAccount")).wide(),
    ]
}

fn containers() -> Column {
    Column::text("Containers", |row| template(row, "name")).wide()
}

fn images() -> Column {
    Column::text("Images", |row| template(row, "image")).wide()
}

fn selector() -> Column {
    Column::text("Selector", |row| match selector_text(&row.object["spec"]["selector"]).as_str() {
        "" => "<none>".into(),
        text => text.into(),
    })
    .wide()
}
