//! Status and conditions of a Deployment (sync.go, progress.go).

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use serde_json::{Value, json};

use super::replica_sets::{forget_progress, set_condition};
use super::{Rollout, count, replicas};
use crate::collection::Collection;
use crate::controller::meta::{condition, remove_condition, replace_condition, time};
use crate::object::Object;
use crate::store::Part;

const AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

impl Rollout<'_, '_> {
    /// Notes that the rollout paused or resumed, so that the pause does not count as a lack of
    /// progress.
    pub(super) fn check_paused_conditions(&mut self) {
        if self.spec.progress_deadline.is_none() {
            return;
        }
        let progressing = condition(&self.deployment["status"], "Progressing");
        let reason = progressing.and_then(|progressing| progressing["reason"].as_str());
        if reason == Some(TIMED_OUT) {
            return;
        }
        let (reason, message) = match (self.spec.paused, reason == Some(PAUSED)) {
            (true, false) => (PAUSED, "Deployment is paused"),
            (false, true) => ("DeploymentResumed", "Deployment is resumed"),
            (true, true) | (false, false) => return,
        };
        let mut status = self.deployment["status"].clone();
        let stamp = self.ctx.stamp();
        set_condition(&mut status, ("Progressing", "Unknown", reason, message), &stamp);
        self.write(status);
    }

    /// Writes the counts and Available (`syncDeploymentStatus`).
    pub(super) fn sync_status(&mut self) -> Option<Duration> {
        let status = self.status();
        if status != self.deployment["status"] {
            self.write(status);
        }
        None
    }

    /// Writes the counts, Available, Progressing and ReplicaFailure (`syncRolloutStatus`); returns
    /// when the deadline has to be looked at.
    pub(super) fn sync_rollout_status(&mut self) -> Option<Duration> {
        let mut status = self.status();
        if self.spec.progress_deadline.is_none() {
            forget_progress(&mut status);
        }
        let current = condition(&self.deployment["status"], "Progressing").cloned();
        let was_complete = counts(&status, "replicas") == counts(&status, "updatedReplicas")
            && current.as_ref().is_some_and(|current| current["reason"] == AVAILABLE);
        if self.spec.progress_deadline.is_some() && !was_complete {
            self.judge_progress(&mut status, current.as_ref());
        }
        self.report_failure(&mut status);
        if status != self.deployment["status"] {
            self.write(status);
        }
        self.until_deadline()
    }

    fn judge_progress(&self, status: &mut Value, current: Option<&Value>) {
        let subject = match &self.new {
            Some(new) => format!("ReplicaSet \"{}\"", new.name()),
            None => format!("Deployment \"{}\"", self.deployment.name()),
        };
        let stamp = self.ctx.stamp();
        if self.is_complete(status) {
            let message = format!("{subject} has successfully progressed.");
            set_condition(status, ("Progressing", "True", AVAILABLE, &message), &stamp);
        } else if self.is_progressing(status) {
            // The update time moves with each step of progress, also under the same reason:
            // the deadline counts from it.
            let since = current.filter(|current| current["status"] == "True");
            let since = since.map_or(&stamp, |current| &current["lastTransitionTime"]);
            let condition = json!({
                "type": "Progressing",
                "status": "True",
                "reason": "ReplicaSetUpdated",
                "message": format!("{subject} is progressing."),
                "lastUpdateTime": stamp,
                "lastTransitionTime": since,
            });
            replace_condition(status, condition);
        } else if self.has_timed_out(current) {
            let message = format!("{subject} has timed out progressing.");
            set_condition(status, ("Progressing", "False", TIMED_OUT, &message), &stamp);
        }
    }

    /// `calculateStatus`.
    fn status(&self) -> Value {
        let sum = |key| self.all().map(|set| count(set, key)).sum::<i64>();
        let available = sum("availableReplicas");
        let wanted: i64 = self.all().map(|set| replicas(set)).sum();
        let mut status = json!({"observedGeneration": self.deployment.generation()});
        let updated = self.new.as_ref().map_or(0, |new| count(new, "replicas"));
        for (key, number) in [
            ("replicas", sum("replicas")),
            ("updatedReplicas", updated),
            ("readyReplicas", sum("readyReplicas")),
            ("availableReplicas", available),
            ("unavailableReplicas", (wanted - available).max(0)),
        ] {
            // Go leaves zeros out.
            if number != 0 {
                status[key] = number.into();
            }
        }
        status["terminatingReplicas"] = sum("terminatingReplicas").into();
        let old = &self.deployment["status"];
        for key in ["collisionCount", "conditions"] {
            if let Some(value) = old.get(key) {
                status[key] = value.clone();
            }
        }
        let verdict = if available >= self.spec.replicas - self.spec.max_unavailable {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            (
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        };
        let (truth, reason, message) = verdict;
        set_condition(&mut status, ("Available", truth, reason, message), &self.ctx.stamp());
        status
    }

    /// Moves the failure of a ReplicaSet, the new one's first, to the Deployment.
    fn report_failure(&self, status: &mut Value) {
        let failure = |set: &Value| condition(&set["status"], "ReplicaFailure").cloned();
        let new = self.new.as_ref().and_then(|set| failure(set));
        let found = new.or_else(|| self.old.iter().find_map(|set| failure(set)));
        match found {
            Some(found) => {
                let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
                let (truth, reason, message) = (text("status"), text("reason"), text("message"));
                let stamp = self.ctx.stamp();
                set_condition(status, ("ReplicaFailure", &truth, &reason, &message), &stamp);
            }
            None => remove_condition(status, "ReplicaFailure"),
        }
    }

    /// `DeploymentComplete`; the status may be the stored or the new one.
    pub(super) fn is_complete(&self, status: &Value) -> bool {
        let replicas = self.spec.replicas;
        counts(status, "updatedReplicas") == replicas
            && counts(status, "replicas") == replicas
            && counts(status, "availableReplicas") == replicas
            && counts(status, "observedGeneration") >= self.deployment.generation()
    }

    fn is_progressing(&self, new: &Value) -> bool {
        let old = &self.deployment["status"];
        let outdated = |status| counts(status, "replicas") - counts(status, "updatedReplicas");
        let more = |key| counts(new, key) > counts(old, key);
        more("updatedReplicas")
            || outdated(new) < outdated(old)
            || more("readyReplicas")
            || more("availableReplicas")
    }

    fn has_timed_out(&self, current: Option<&Value>) -> bool {
        let Some(current) = current else { return false };
        match current["reason"].as_str() {
            Some(AVAILABLE) => false,
            Some(TIMED_OUT) => true,
            _ => self.left(current).is_some_and(|left| left.is_negative()),
        }
    }

    /// How long until the deadline.
    fn left(&self, progressing: &Value) -> Option<SignedDuration> {
        let deadline = SignedDuration::from_secs(self.spec.progress_deadline?);
        let end = time(&progressing["lastUpdateTime"])?.checked_add(deadline).ok()?;
        Some(end.duration_since(self.ctx.time()))
    }

    fn until_deadline(&self) -> Option<Duration> {
        let progressing = condition(&self.deployment["status"], "Progressing")?;
        let reason = progressing["reason"].as_str();
        if self.is_complete(&self.deployment["status"])
            || reason == Some(TIMED_OUT)
            || reason == Some(PAUSED)
        {
            return None;
        }
        // A second more, because times are cut to whole seconds.
        let wait = self.left(progressing)?.saturating_add(SignedDuration::from_secs(1));
        Some(Duration::try_from(wait).unwrap_or(Duration::from_secs(1)))
    }

    fn write(&mut self, status: Value) {
        let written =
            self.ctx.edit(&Collection::DEPLOYMENTS, Part::Status, &self.deployment, |object| {
                object["status"] = status;
            });
        if let Some(written) = written {
            self.deployment = written;
        }
    }
}

fn counts(status: &Value, key: &str) -> i64 {
    status[key].as_i64().unwrap_or_default()
}
