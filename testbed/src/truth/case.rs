//! The cases: what is rolled out, by whom, and what stands in the way.

use std::time::Duration;

use crate::plan::Component;

/// One row of the table.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The image of the service, without its tag.
    pub(super) service: &'static str,
    pub(super) tool: Tool,
    /// The tag that is rolled to.
    pub(super) to: &'static str,
    pub(super) hindrance: Hindrance,
    pub(super) end: End,
    /// Whether every request must be served; a case without zdd only shows what happens.
    pub(super) must_serve: bool,
}

/// Who rolls out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tool {
    /// `kubectl set image`, `rollout status`, and `rollout undo` when that fails.
    Kubectl,
    /// Nobody: the load alone.
    Nobody,
    /// The `rolling` example.
    Zdd,
}

/// What stands in the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hindrance {
    /// A PodDisruptionBudget that allows no disruption.
    Budget,
    /// The deploy tool is killed in the middle, and started again.
    DriverKilled,
    /// The API server is killed in the middle, and started again.
    Killed(Component),
    Nothing,
    /// A ResourceQuota without room for a surge.
    Quota,
    /// A component does nothing for so long, from the middle on.
    Stands(Component, Duration),
}

/// How it should end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    New,
    Old,
}

const STANDSTILL: Duration = Duration::from_secs(20);
/// The driver's lease is valid for 30 s, and a node without news counts as lost after 50 s.
const BEYOND_THE_LEASE: Duration = Duration::from_secs(40);

const fn zdd(
    name: &'static str,
    about: &'static str,
    to: &'static str,
    hindrance: Hindrance,
    end: End,
) -> Case {
    Case { name, about, service: "web", tool: Tool::Zdd, to, hindrance, end, must_serve: true }
}

const fn other(
    name: &'static str,
    about: &'static str,
    service: &'static str,
    tool: Tool,
    to: &'static str,
    hindrance: Hindrance,
    end: End,
) -> Case {
    Case { name, about, service, tool, to, hindrance, end, must_serve: false }
}

/// All cases, in the order of the table.
pub(super) const CASES: &[Case] = &[
    Case {
        must_serve: true,
        ..other(
            "control",
            "the load without a rollout",
            "web",
            Tool::Nobody,
            "1",
            Hindrance::Nothing,
            End::Old,
        )
    },
    zdd("good", "zdd, a good version", "2", Hindrance::Nothing, End::New),
    zdd("crash", "zdd, a version that crashes at its start", "crash", Hindrance::Nothing, End::Old),
    zdd(
        "never-ready",
        "zdd, a version that is never ready",
        "never-ready",
        Hindrance::Nothing,
        End::Old,
    ),
    zdd("no-image", "zdd, an image that does not exist", "missing", Hindrance::Nothing, End::Old),
    zdd("quota", "zdd, a quota without room for a surge", "2", Hindrance::Quota, End::Old),
    zdd("budget", "zdd, a disruption budget that allows none", "2", Hindrance::Budget, End::New),
    zdd(
        "proxy-stands",
        "zdd, kube-proxy stands still for 20 s",
        "2",
        Hindrance::Stands(Component::KubeProxy, STANDSTILL),
        End::New,
    ),
    zdd(
        "controllers-stand",
        "zdd, the controller manager stands still for 20 s",
        "2",
        Hindrance::Stands(Component::KubeControllerManager, STANDSTILL),
        End::New,
    ),
    zdd(
        "apiserver-killed",
        "zdd, the API server is killed and started again",
        "2",
        Hindrance::Killed(Component::KubeApiserver),
        End::New,
    ),
    zdd(
        "apiserver-stands",
        "zdd, the API server stands still for 40 s",
        "2",
        Hindrance::Stands(Component::KubeApiserver, BEYOND_THE_LEASE),
        End::New,
    ),
    zdd(
        "driver-killed",
        "zdd, killed itself and started again",
        "2",
        Hindrance::DriverKilled,
        End::New,
    ),
    other(
        "kubectl-good",
        "kubectl, a good version",
        "web",
        Tool::Kubectl,
        "2",
        Hindrance::Nothing,
        End::New,
    ),
    other(
        "kubectl-crash",
        "kubectl, a version that crashes at its start",
        "web",
        Tool::Kubectl,
        "crash",
        Hindrance::Nothing,
        End::Old,
    ),
    other(
        "kubectl-graceful",
        "kubectl, a service with axum's graceful shutdown",
        "web-graceful",
        Tool::Kubectl,
        "2",
        Hindrance::Nothing,
        End::New,
    ),
    other(
        "zdd-graceful",
        "zdd, a service with axum's graceful shutdown",
        "web-graceful",
        Tool::Zdd,
        "2",
        Hindrance::Nothing,
        End::New,
    ),
    other(
        "kubectl-plain",
        "kubectl, a service that ignores SIGTERM",
        "web-plain",
        Tool::Kubectl,
        "2",
        Hindrance::Nothing,
        End::New,
    ),
    other(
        "kubectl-proxy-stands",
        "kubectl, axum's graceful shutdown, kube-proxy stands still for 20 s",
        "web-graceful",
        Tool::Kubectl,
        "2",
        Hindrance::Stands(Component::KubeProxy, STANDSTILL),
        End::New,
    ),
];
