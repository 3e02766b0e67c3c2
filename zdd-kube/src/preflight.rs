//! Checks before the first write: whatever can be known early is refused early, with what to do.

mod access;
mod autoscaler;
mod grace;
mod ports;
mod probes;
mod quota;
mod selector;
mod services;
mod strategy;
mod target;

use zdd_core::{ClusterError, Request, Template};

use crate::objects::{Object, PodSpec, Service, Workload};
use crate::requests::Requests;

pub(crate) use access::{Rights, rights};
pub(crate) use target::missing;

/// What the checks look at.
pub(crate) struct Facts<'a> {
    request: &'a Request<'a>,
    workload: &'a Object<Workload>,
    template: &'a Template,
    pod: PodSpec,
    /// The Services whose selector matches the template.
    services: &'a [Object<Service>],
}

/// What the checks found.
#[derive(Debug, Default)]
struct Findings {
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    /// Notes something with which the rollout must not begin.
    fn refuse(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Notes something that a user should know.
    fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }
}

impl<'a> Facts<'a> {
    pub(crate) fn new(
        request: &'a Request<'a>,
        workload: &'a Object<Workload>,
        template: &'a Template,
        services: &'a [Object<Service>],
    ) -> Result<Self, ClusterError> {
        let pod =
            serde::Deserialize::deserialize(&template.as_value()["spec"]).map_err(|error| {
                let problem = format!("the pod template cannot be understood: {error}");
                ClusterError::refused(request.target, problem)
            })?;
        Ok(Self { request, workload, template, pod, services })
    }
}

/// Runs all checks that need no more than what was read; returns warnings.
///
/// # Errors
/// One refusal that names all problems.
pub(crate) fn check(facts: &Facts<'_>) -> Result<Vec<String>, ClusterError> {
    let mut findings = Findings::default();
    let checks = [
        strategy::check,
        selector::check,
        services::check,
        probes::check,
        grace::check,
        ports::check,
    ];
    for check in checks {
        check(facts, &mut findings);
    }
    if findings.problems.is_empty() {
        return Ok(findings.warnings);
    }
    Err(ClusterError::refused(facts.request.target, findings.problems.join("; ")))
}

/// Looks at what else there is in the namespace, as far as that is allowed; returns warnings.
pub(crate) async fn surroundings(
    requests: &Requests,
    rights: &Rights,
    facts: &Facts<'_>,
) -> Vec<String> {
    let autoscaler = autoscaler::look(requests, rights, facts);
    let quota = quota::look(requests, rights, facts);
    let (autoscaler, quota) = futures::join!(autoscaler, quota);
    autoscaler.into_iter().chain(quota).collect()
}
