//! Probes and handlers as the kubelet runs them: HTTP, TCP and exec, over real sockets.
//!
//! A [`Probe`] is read once from the pod, with defaults filled in and port names resolved, so that
//! what cannot be run here is refused when the container starts and not at some later probe.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use thiserror::Error;

mod action;
mod judge;

pub(crate) use action::{Action, Target};
pub(crate) use judge::{Judge, Verdict};

/// Why a probe or handler cannot be run.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ProbeError {
    /// It names none of the supported actions.
    #[error("{what} has no action; give httpGet, tcpSocket, exec or, in a handler, sleep")]
    NoAction {
        /// The probe or handler.
        what: String,
    },
    /// The port is neither a number nor the name of a port of the container.
    #[error("{what} names port {port:?}, which the container does not declare")]
    UnknownPort {
        /// The probe or handler.
        what: String,
        /// The port as written.
        port: String,
    },
    /// Kubernetes can do it, the embedded kubelet cannot.
    #[error("{what} uses {feature}, which process pods do not support")]
    Unsupported {
        /// The probe or handler.
        what: String,
        /// What it uses.
        feature: &'static str,
    },
}

/// One probe of a container, with all defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) action: Action,
    pub(crate) initial_delay: Duration,
    pub(crate) period: Duration,
    pub(crate) timeout: Duration,
    pub(crate) success_threshold: u32,
    pub(crate) failure_threshold: u32,
    /// Grace of a container that this probe ends, where it differs from the pod's.
    pub(crate) grace: Option<Duration>,
}

impl Probe {
    fn read(what: &str, probe: &core::Probe, ports: &Ports) -> Result<Self, ProbeError> {
        let unsupported = probe.grpc.is_some().then(|| unsupported(what, "a grpc action"));
        if let Some(error) = unsupported {
            return Err(error);
        }
        let action = action(
            what,
            (probe.exec.as_ref(), probe.http_get.as_ref(), probe.tcp_socket.as_ref()),
            ports,
        )?;
        // Zero and negative values never reach a kubelet: the API server refuses or defaults them.
        let at_least_one = |value: Option<i32>, default: u32| {
            value.and_then(|v| u32::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default)
        };
        let seconds = |value: u32| Duration::from_secs(u64::from(value));
        Ok(Self {
            action: action.ok_or_else(|| ProbeError::NoAction { what: what.to_owned() })?,
            initial_delay: seconds(
                probe.initial_delay_seconds.and_then(|s| u32::try_from(s).ok()).unwrap_or(0),
            ),
            period: seconds(at_least_one(probe.period_seconds, 10)),
            timeout: seconds(at_least_one(probe.timeout_seconds, 1)),
            success_threshold: at_least_one(probe.success_threshold, 1),
            failure_threshold: at_least_one(probe.failure_threshold, 3),
            grace: probe
                .termination_grace_period_seconds
                .and_then(|s| u64::try_from(s).ok())
                .map(Duration::from_secs),
        })
    }
}

/// All probes and handlers of a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checks {
    pub(crate) startup: Option<Probe>,
    pub(crate) readiness: Option<Probe>,
    pub(crate) liveness: Option<Probe>,
    pub(crate) pre_stop: Option<Action>,
}

impl Checks {
    /// Reads the probes of a container; `postStart` is refused, because nothing would run it.
    pub(crate) fn read(container: &core::Container) -> Result<Self, ProbeError> {
        let ports = Ports::of(container);
        let probe = |name: &str, probe: &Option<core::Probe>| {
            let what = format!("{name} of container {:?}", container.name);
            probe.as_ref().map(|probe| Probe::read(&what, probe, &ports)).transpose()
        };
        let lifecycle = container.lifecycle.as_ref();
        if lifecycle.is_some_and(|lifecycle| lifecycle.post_start.is_some()) {
            let what = format!("container {:?}", container.name);
            return Err(unsupported(&what, "a postStart handler"));
        }
        let pre_stop = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        Ok(Self {
            startup: probe("startupProbe", &container.startup_probe)?,
            readiness: probe("readinessProbe", &container.readiness_probe)?,
            liveness: probe("livenessProbe", &container.liveness_probe)?,
            pre_stop: pre_stop
                .map(|handler| handler_action(&container.name, handler, &ports))
                .transpose()?,
        })
    }
}

fn handler_action(
    container: &str,
    handler: &core::LifecycleHandler,
    ports: &Ports,
) -> Result<Action, ProbeError> {
    let what = format!("preStop of container {container:?}");
    if let Some(sleep) = &handler.sleep {
        return Ok(Action::Sleep(Duration::from_secs(
            u64::try_from(sleep.seconds).unwrap_or_default(),
        )));
    }
    // A tcpSocket handler is in the schema, but the API server accepts it only for old objects.
    let found = action(&what, (handler.exec.as_ref(), handler.http_get.as_ref(), None), ports)?;
    found.ok_or(ProbeError::NoAction { what })
}

type Actions<'a> = (
    Option<&'a core::ExecAction>,
    Option<&'a core::HTTPGetAction>,
    Option<&'a core::TCPSocketAction>,
);

fn action(
    what: &str,
    (exec, http, tcp): Actions<'_>,
    ports: &Ports,
) -> Result<Option<Action>, ProbeError> {
    if let Some(exec) = exec {
        let command = exec.command.clone().unwrap_or_default();
        return Ok((!command.is_empty()).then_some(Action::Exec(command)));
    }
    if let Some(http) = http {
        if http.scheme.as_deref().is_some_and(|scheme| scheme != "HTTP") {
            return Err(unsupported(what, "HTTPS"));
        }
        let headers = http.http_headers.iter().flatten();
        return Ok(Some(Action::HttpGet {
            host: http.host.clone(),
            port: ports.resolve(what, &http.port)?,
            path: http.path.clone().unwrap_or_else(|| "/".to_owned()),
            headers: headers.map(|h| (h.name.clone(), h.value.clone())).collect(),
        }));
    }
    let Some(tcp) = tcp else { return Ok(None) };
    let port = ports.resolve(what, &tcp.port)?;
    Ok(Some(Action::TcpSocket { host: tcp.host.clone(), port }))
}

fn unsupported(what: &str, feature: &'static str) -> ProbeError {
    ProbeError::Unsupported { what: what.to_owned(), feature }
}

/// The named ports of a container.
struct Ports(BTreeMap<String, u16>);

impl Ports {
    fn of(container: &core::Container) -> Self {
        let ports = container.ports.iter().flatten();
        let named = ports.filter_map(|port| {
            Some((port.name.clone()?, u16::try_from(port.container_port).ok()?))
        });
        Self(named.collect())
    }

    fn resolve(&self, what: &str, port: &IntOrString) -> Result<u16, ProbeError> {
        let (found, written) = match port {
            IntOrString::Int(number) => (u16::try_from(*number).ok(), number.to_string()),
            // The kubelet takes a name first and then a number written as text.
            IntOrString::String(name) => {
                (self.0.get(name).copied().or_else(|| name.parse().ok()), name.clone())
            }
        };
        found
            .filter(|port| *port > 0)
            .ok_or_else(|| ProbeError::UnknownPort { what: what.to_owned(), port: written })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(mut container: Value) -> Result<Checks, ProbeError> {
        container["name"] = "app".into();
        container["ports"] = json!([{"name": "http", "containerPort": 8080}]);
        Checks::read(&serde_json::from_value(container).unwrap())
    }

    #[test]
    fn absent_fields_get_the_defaults_of_the_api() {
        let checks = read(json!({"readinessProbe": {"httpGet": {"port": "http"}}})).unwrap();
        let probe = checks.readiness.unwrap();
        assert_eq!(probe.period, Duration::from_secs(10));
        assert_eq!(probe.timeout, Duration::from_secs(1));
        assert_eq!((probe.success_threshold, probe.failure_threshold), (1, 3));
        let Action::HttpGet { port, path, .. } = probe.action else { panic!("not httpGet") };
        assert_eq!((port, path.as_str()), (8080, "/"));
    }

    #[track_caller]
    fn check_refused(container: Value, expected: &str) {
        assert_eq!(read(container).unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_cannot_run_is_refused_by_name() {
        check_refused(
            json!({"livenessProbe": {"tcpSocket": {"port": "admin"}}}),
            r#"livenessProbe of container "app" names port "admin", which the container does not declare"#,
        );
        check_refused(
            json!({"readinessProbe": {"grpc": {"port": 8080}}}),
            r#"readinessProbe of container "app" uses a grpc action, which process pods do not support"#,
        );
        check_refused(
            json!({"startupProbe": {"periodSeconds": 1}}),
            r#"startupProbe of container "app" has no action; give httpGet, tcpSocket, exec or, in a handler, sleep"#,
        );
    }
}
