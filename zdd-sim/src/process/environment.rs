//! What a container's process gets from the pod: environment, command line, working directory.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use thiserror::Error;

/// Why an environment could not be made.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The field path is not one that the downward API has, or that this kubelet knows.
    #[error(
        "environment variable {variable} of container {container:?} refers to unknown field {path:?}"
    )]
    UnknownField {
        /// The container.
        container: String,
        /// The variable.
        variable: String,
        /// The field path.
        path: String,
    },
    /// The variable comes from a source that the embedded cluster does not serve.
    #[error(
        "environment variable {variable} of container {container:?} comes from a {from}, which process pods do not support"
    )]
    UnsupportedSource {
        /// The container.
        container: String,
        /// The variable, or `envFrom`.
        variable: String,
        /// The source.
        from: &'static str,
    },
}

/// Variables that every process inherits, because programs are found and work files are placed by
/// them. Nothing else of this process's environment reaches a pod.
const INHERITED: [&str; 2] = ["PATH", "TMPDIR"];

/// Where every pod on a node finds the API's Service. By these variables programs know that they
/// run in a cluster; as no cluster address can be reached here, that is all they are good for.
const API_SERVICE: [(&str, &str); 3] = [
    ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
    ("KUBERNETES_SERVICE_PORT", "443"),
    ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
];

/// Returns the environment of a container: inherited variables, then the image's, then what every
/// pod gets (`HOSTNAME`, `POD_IP`, `PORT`, the API's Service), then the container's own, each
/// overriding the former.
pub(super) fn environment(
    pod: &core::Pod,
    container: &core::Container,
    ip: IpAddr,
    image: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let inherited =
        INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut all: BTreeMap<_, _> = inherited.chain(image.clone()).collect();
    all.insert("HOSTNAME".to_owned(), pod.metadata.name.clone().unwrap_or_default());
    all.insert("POD_IP".to_owned(), ip.to_string());
    all.extend(API_SERVICE.map(|(name, value)| (name.to_owned(), value.to_owned())));
    if let Some(port) = first_port(container) {
        all.insert("PORT".to_owned(), port.to_string());
    }
    if container.env_from.as_ref().is_some_and(|from| !from.is_empty()) {
        return Err(unsupported(container, "envFrom", "ConfigMap or Secret"));
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(pod, container, ip, variable, &all)? {
            all.insert(variable.name.clone(), value);
        }
    }
    Ok(all)
}

/// Returns the first port that a container declares.
pub(super) fn first_port(container: &core::Container) -> Option<u16> {
    u16::try_from(container.ports.as_ref()?.first()?.container_port).ok()
}

fn value(
    pod: &core::Pod,
    container: &core::Container,
    ip: IpAddr,
    variable: &core::EnvVar,
    defined: &BTreeMap<String, String>,
) -> Result<Option<String>, EnvironmentError> {
    let Some(source) = &variable.value_from else {
        return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), defined)));
    };
    if let Some(field) = &source.field_ref {
        let value = field_value(pod, ip, &field.field_path);
        return value.map(Some).ok_or_else(|| EnvironmentError::UnknownField {
            container: container.name.clone(),
            variable: variable.name.clone(),
            path: field.field_path.clone(),
        });
    }
    // An optional reference to something that is not there leaves the variable unset, which is
    // what a cluster does with an absent ConfigMap.
    let config_map = source.config_map_key_ref.as_ref().map(|r| ("ConfigMap", r.optional));
    let secret = source.secret_key_ref.as_ref().map(|r| ("Secret", r.optional));
    match config_map.or(secret) {
        Some((_, Some(true))) => Ok(None),
        Some((from, _)) => Err(unsupported(container, &variable.name, from)),
        None => Err(unsupported(container, &variable.name, "resource or file reference")),
    }
}

fn unsupported(
    container: &core::Container,
    variable: &str,
    from: &'static str,
) -> EnvironmentError {
    EnvironmentError::UnsupportedSource {
        container: container.name.clone(),
        variable: variable.to_owned(),
        from,
    }
}

/// The downward API: field paths that environment variables may use.
fn field_value(pod: &core::Pod, ip: IpAddr, path: &str) -> Option<String> {
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| Some(value.cloned().unwrap_or_default());
    match path {
        "metadata.name" => text(pod.metadata.name.as_ref()),
        "metadata.namespace" => text(pod.metadata.namespace.as_ref()),
        "metadata.uid" => text(pod.metadata.uid.as_ref()),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        // The node of process pods is this machine's loopback interface.
        "status.hostIP" | "status.hostIPs" => Some("127.0.0.1".to_owned()),
        "status.podIP" | "status.podIPs" => Some(ip.to_string()),
        _ => {
            let entry = |map: &str| path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']");
            let (map, key) = match (entry("metadata.labels"), entry("metadata.annotations")) {
                (Some(key), _) => (&pod.metadata.labels, key),
                (None, Some(key)) => (&pod.metadata.annotations, key),
                (None, None) => return None,
            };
            text(map.as_ref().and_then(|map| map.get(key)))
        }
    }
}

/// Replaces `$(NAME)` by the variable's value; `$$` stands for `$`, and a reference to a variable
/// that is not defined stays as it is.
pub(super) fn expand(text: &str, defined: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            match defined.get(name) {
                Some(value) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn env(variables: &Value) -> Result<BTreeMap<String, String>, EnvironmentError> {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1", "labels": {"app": "web"}},
            "spec": {"nodeName": "node-a", "containers": []},
        }));
        let container = serde_json::from_value(
            json!({"name": "app", "ports": [{"containerPort": 8080}], "env": variables}),
        );
        let image = BTreeMap::from([("VERSION".to_owned(), "1".to_owned())]);
        environment(&pod.unwrap(), &container.unwrap(), [127, 64, 0, 9].into(), &image)
    }

    fn field(path: &str) -> Value {
        json!([{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}])
    }

    #[test]
    fn every_pod_gets_its_name_address_and_port() {
        let env = env(&json!([])).unwrap();
        let found = ["HOSTNAME", "POD_IP", "PORT", "VERSION"].map(|name| env[name].as_str());
        assert_eq!(found, ["web-1", "127.64.0.9", "8080", "1"]);
    }

    #[test]
    fn every_pod_is_told_that_it_runs_in_a_cluster() {
        assert_eq!(env(&json!([])).unwrap()["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
        let own = json!([{"name": "KUBERNETES_SERVICE_HOST", "value": "api.example.com"}]);
        assert_eq!(env(&own).unwrap()["KUBERNETES_SERVICE_HOST"], "api.example.com");
    }

    #[test]
    fn the_containers_own_variables_win_and_see_the_earlier_ones() {
        let own = json!([
            {"name": "PORT", "value": "9090"},
            {"name": "URL", "value": "http://$(POD_IP):$(PORT)/$$(PORT)/$(NOPE)"},
        ]);
        assert_eq!(env(&own).unwrap()["URL"], "http://127.64.0.9:9090/$(PORT)/$(NOPE)");
    }

    #[test]
    fn the_downward_api_gives_what_the_pod_says() {
        let of = |path: &str| env(&field(path)).unwrap()["X"].clone();
        assert_eq!(of("metadata.name"), "web-1");
        assert_eq!(of("metadata.namespace"), "shop");
        assert_eq!(of("metadata.uid"), "u-1");
        assert_eq!(of("metadata.labels['app']"), "web");
        assert_eq!(of("metadata.annotations['none']"), "");
        assert_eq!(of("spec.nodeName"), "node-a");
        assert_eq!(of("status.podIP"), "127.64.0.9");
    }

    #[test]
    fn what_cannot_be_resolved_is_refused_unless_optional() {
        let unknown = env(&field("spec.replicas")).unwrap_err();
        assert!(
            matches!(unknown, EnvironmentError::UnknownField { path, .. } if path == "spec.replicas")
        );
        let secret = |optional: bool| {
            let reference = json!({"name": "s", "key": "k", "optional": optional});
            env(&json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": reference}}]))
        };
        assert!(secret(false).unwrap_err().to_string().contains("TOKEN"));
        assert!(!secret(true).unwrap().contains_key("TOKEN"));
    }
}
