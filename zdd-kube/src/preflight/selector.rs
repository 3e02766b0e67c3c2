//! The new template's labels must still match the workload's selector.

use super::{Facts, Findings};
use crate::snapshot::template_labels;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let selector = &facts.workload.body.spec.selector;
    if !selector.matches(&template_labels(facts.template.as_value())) {
        findings.refuse(format!(
            "the labels of the new template do not match its selector ({}), which cannot change; \
             give the template these labels",
            selector.query()
        ));
    }
}
