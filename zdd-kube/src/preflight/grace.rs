//! A pod must be given the time that its drain takes.

use super::{Facts, Findings};

/// What the server takes for an absent value.
const DEFAULT: u32 = 30;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let Some(drain) = facts.request.drain_seconds else { return };
    let grace = facts.pod.termination_grace_period_seconds.unwrap_or(DEFAULT);
    if grace < drain {
        findings.refuse(format!(
            "terminationGracePeriodSeconds is {grace}, but pods need {drain} s to drain: they would \
             be killed with requests in flight; set it to {drain} or more"
        ));
    }
}
