//! The Job controller (pkg/controller/job): runs pods until enough of them have succeeded.
//!
//! Not here: indexed completion, pod failure and success policies.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::collection::Collection;
use crate::controller::Next;
use crate::controller::context::{Context, Note};
use crate::controller::meta::{
    condition, controller_name, controller_ref, is_true, remove, replace_condition, suffix, time,
};
use crate::controller::pods::{from_template, has_ended, is_active, is_ready, is_terminating};
use crate::object::Object;
use crate::store::{Change, Entry, Part, Place, Store};

/// Keeps a pod until it is counted.
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// The wait after a failed pod, doubled with each further one, and its limit.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const LAST_BACK_OFF: Duration = Duration::from_secs(600);
/// At most so many pods are created in one go.
const BURST: usize = 500;

/// Tells which Jobs have to be looked at after a write.
pub(crate) fn observe(entry: &Entry, _: &Store, push: &mut dyn FnMut(Place)) {
    let object = &entry.object;
    let place = |name: &str| (object.namespace().to_owned(), name.to_owned());
    if entry.collection == Collection::JOBS && entry.change != Change::Deleted {
        push(place(object.name()));
    } else if entry.collection == Collection::PODS
        && let Some(name) = controller_name(object, "Job")
    {
        push(place(name));
    }
}

/// One Job with its pods, during one look at it.
#[derive(Debug)]
struct Work {
    job: Arc<Value>,
    owner: Value,
    pods: Vec<Arc<Value>>,
    status: Value,
}

/// Looks at one Job.
pub(crate) fn reconcile(ctx: &mut Context<'_>, place: &Place) -> Next {
    let Some(job) = ctx.get(&Collection::JOBS, place) else {
        free_orphans(ctx, place);
        return Next::Done;
    };
    if job.is_terminating() {
        free_pods(ctx, &job);
        return Next::Done;
    }
    if let Some(wait) = clean_up(ctx, &job) {
        return wait;
    }
    let owner = controller_ref(&job, "batch/v1", "Job");
    let pods = ctx.claim(&Collection::PODS, &job, &owner);
    let status = job["status"].clone();
    let mut work = Work { job, owner, pods, status };
    work.count(ctx);
    work.suspend(ctx);
    let next = match work.verdict(ctx) {
        Some(verdict) => {
            work.finish(ctx, &verdict);
            Next::Done
        }
        None => work.manage(ctx),
    };
    work.write_status(ctx);
    next
}

/// Removes a finished Job when its time is over; `None` when it has not finished.
fn clean_up(ctx: &mut Context<'_>, job: &Value) -> Option<Next> {
    let done = ["Complete", "Failed"].into_iter().find(|kind| is_true(job, kind))?;
    free_pods(ctx, job);
    let Some(ttl) = job.int("/spec/ttlSecondsAfterFinished") else { return Some(Next::Done) };
    let since = condition(&job["status"], done).and_then(|it| time(&it["lastTransitionTime"]))?;
    let left = ttl - ctx.time().duration_since(since).as_secs();
    if let Ok(left @ 1..) = u64::try_from(left) {
        return Some(Next::After(Duration::from_secs(left)));
    }
    let _gone = ctx.delete(&Collection::JOBS, job, None);
    Some(Next::Done)
}

/// Lets go of the pods: nobody counts them any more.
fn free_pods(ctx: &mut Context<'_>, job: &Value) {
    for pod in ctx.controlled(&Collection::PODS, job.uid()) {
        free(ctx, &pod);
    }
}

/// Lets go of the pods of a Job that is no longer there.
fn free_orphans(ctx: &mut Context<'_>, (namespace, name): &Place) {
    let pods = ctx.store.list(&Collection::PODS, Some(namespace));
    let pods = pods.filter(|pod| controller_name(pod, "Job") == Some(name));
    for pod in pods.cloned().collect::<Vec<_>>() {
        free(ctx, &pod);
    }
}

fn free(ctx: &mut Context<'_>, pod: &Value) {
    if is_tracked(pod) {
        let _gone = ctx.edit(&Collection::PODS, Part::Main, pod, |pod| {
            if let Some(finalizers) = pod["metadata"]["finalizers"].as_array_mut() {
                finalizers.retain(|finalizer| finalizer != TRACKING);
            }
        });
    }
}

fn is_tracked(pod: &Value) -> bool {
    let finalizers = pod["metadata"]["finalizers"].as_array();
    finalizers.is_some_and(|all| all.iter().any(|finalizer| finalizer == TRACKING))
}

/// How a Job ends.
#[derive(Debug)]
struct Verdict {
    /// The condition that comes first, and the one that says the end.
    kinds: [&'static str; 2],
    reason: &'static str,
    message: &'static str,
}

impl Work {
    fn number(&self, key: &str) -> i64 {
        self.status[key].as_i64().unwrap_or_default()
    }

    /// Adds the pods that have ended since the last look.
    fn count(&mut self, ctx: &mut Context<'_>) {
        if self.status["startTime"].is_null() && self.job["spec"]["suspend"] != true {
            self.status["startTime"] = ctx.stamp();
        }
        for pod in self.pods.clone().iter().filter(|pod| is_tracked(pod)) {
            let succeeded = pod.text("/status/phase") == Some("Succeeded");
            // A pod that is deleted before it ended has failed.
            if has_ended(pod) || pod.is_terminating() && pod.text("/spec/nodeName").is_none() {
                let key = if succeeded { "succeeded" } else { "failed" };
                self.status[key] = (self.number(key) + 1).into();
                free(ctx, pod);
            } else if pod.is_terminating() && only_tracking_keeps(pod) {
                self.status["failed"] = (self.number("failed") + 1).into();
                free(ctx, pod);
            }
        }
    }

    /// Says that the Job is suspended, or that it no longer is; its time begins anew then.
    fn suspend(&mut self, ctx: &mut Context<'_>) {
        let wanted = self.job["spec"]["suspend"] == true;
        let known = condition(&self.status, "Suspended").map(|it| it["status"] == "True");
        if known.unwrap_or_default() == wanted {
            return;
        }
        let stamp = ctx.stamp();
        let (status, reason, message, note) = if wanted {
            remove(&mut self.status, "startTime");
            ("True", "JobSuspended", "Job suspended", "Suspended")
        } else {
            self.status["startTime"] = stamp.clone();
            ("False", "JobResumed", "Job resumed", "Resumed")
        };
        let condition = json!({
            "type": "Suspended",
            "status": status,
            "lastProbeTime": stamp,
            "lastTransitionTime": stamp,
            "reason": reason,
            "message": message,
        });
        replace_condition(&mut self.status, condition);
        ctx.event(&self.job, Note::Normal(note), message);
    }

    fn verdict(&self, ctx: &Context<'_>) -> Option<Verdict> {
        let spec = &self.job["spec"];
        let active = self.pods.iter().filter(|pod| is_active(pod)).count();
        let succeeded = self.number("succeeded");
        let failed =
            |reason, message| Some(Verdict { kinds: ["FailureTarget", "Failed"], reason, message });
        if self.number("failed") > spec["backoffLimit"].as_i64().unwrap_or(6) {
            let message = "Job has reached the specified backoff limit";
            return failed("BackoffLimitExceeded", message);
        }
        if self.deadline(ctx.time()).is_some_and(|left| left <= 0) {
            let message = "Job was active longer than specified deadline";
            return failed("DeadlineExceeded", message);
        }
        let done = match spec["completions"].as_i64() {
            Some(completions) => succeeded >= completions,
            // A work queue: when one has succeeded and the others have ended.
            None => succeeded > 0 && active == 0,
        };
        done.then_some(Verdict {
            kinds: ["SuccessCriteriaMet", "Complete"],
            reason: "CompletionsReached",
            message: "Reached expected number of succeeded pods",
        })
    }

    /// Seconds until the Job has been active for too long.
    fn deadline(&self, now: Timestamp) -> Option<i64> {
        let limit = self.job.int("/spec/activeDeadlineSeconds")?;
        Some(limit - now.duration_since(time(&self.status["startTime"])?).as_secs())
    }

    fn finish(&mut self, ctx: &mut Context<'_>, verdict: &Verdict) {
        for pod in self.pods.iter().filter(|pod| is_active(pod)) {
            let _gone = ctx.delete(&Collection::PODS, pod, None);
        }
        let stamp = ctx.stamp();
        for kind in verdict.kinds {
            let condition = json!({
                "type": kind,
                "status": "True",
                "lastProbeTime": stamp,
                "lastTransitionTime": stamp,
                "reason": verdict.reason,
                "message": verdict.message,
            });
            replace_condition(&mut self.status, condition);
        }
        let note = if verdict.kinds[1] == "Complete" {
            self.status["completionTime"] = stamp;
            (Note::Normal("Completed"), "Job completed")
        } else {
            (Note::Warning(verdict.reason), verdict.message)
        };
        ctx.event(&self.job, note.0, note.1);
    }

    /// Creates the pods that are missing, and deletes those that are too many.
    fn manage(&mut self, ctx: &mut Context<'_>) -> Next {
        let spec = &self.job["spec"];
        let parallelism = spec["parallelism"].as_i64().unwrap_or(1);
        let wanted = match spec["completions"].as_i64() {
            _ if spec["suspend"] == true => 0,
            Some(completions) => parallelism.min(completions - self.number("succeeded")),
            // Nothing new is begun after the first success.
            None if self.number("succeeded") > 0 => 0,
            None => parallelism,
        };
        let wanted = usize::try_from(wanted).unwrap_or_default();
        let active: Vec<Arc<Value>> =
            self.pods.iter().filter(|pod| is_active(pod)).cloned().collect();
        for pod in active.iter().skip(wanted) {
            let _gone = ctx.delete(&Collection::PODS, pod, None);
        }
        let missing = wanted.saturating_sub(active.len()).min(BURST);
        let wait = self.back_off(ctx.time());
        if missing > 0 && wait.is_none() {
            for _ in 0..missing {
                if self.create(ctx).is_err() {
                    return Next::Retry;
                }
            }
        }
        let deadline = self.deadline(ctx.time()).and_then(|left| u64::try_from(left).ok());
        let waits = [wait.filter(|_| missing > 0), deadline.map(Duration::from_secs)];
        Next::after(waits.into_iter().flatten().min())
    }

    /// How long to wait after the last failure.
    fn back_off(&self, now: Timestamp) -> Option<Duration> {
        let failures = u32::try_from(self.number("failed")).unwrap_or(u32::MAX);
        let last = self.pods.iter().filter(|pod| pod.text("/status/phase") == Some("Failed"));
        let ended = last.filter_map(|pod| {
            let statuses = pod["status"]["containerStatuses"].as_array()?;
            statuses.iter().filter_map(|it| time(&it["state"]["terminated"]["finishedAt"])).max()
        });
        let since = now.duration_since(ended.max()?);
        let wait = FIRST_BACK_OFF.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let left = wait.min(LAST_BACK_OFF).checked_sub(Duration::try_from(since).ok()?);
        left.filter(|left| !left.is_zero())
    }

    fn create(&mut self, ctx: &mut Context<'_>) -> Result<(), ()> {
        let base = format!("{}-", self.job.name());
        let name = format!("{base}{}", suffix(ctx.store.random()));
        let template = &self.job["spec"]["template"];
        let mut pod = from_template(&self.job, template, &name, &self.owner);
        pod["metadata"]["generateName"] = base.into();
        match pod["metadata"]["finalizers"].as_array_mut() {
            Some(finalizers) => finalizers.push(TRACKING.into()),
            None => pod["metadata"]["finalizers"] = json!([TRACKING]),
        }
        match ctx.create(&Collection::PODS, pod) {
            Ok(pod) => {
                let message = format!("Created pod: {}", pod.name());
                ctx.event(&self.job, Note::Normal("SuccessfulCreate"), &message);
                self.pods.push(pod);
                Ok(())
            }
            Err(error) => {
                let message = format!("Error creating: {error}");
                ctx.event(&self.job, Note::Warning("FailedCreate"), &message);
                Err(())
            }
        }
    }

    fn write_status(&mut self, ctx: &mut Context<'_>) {
        let ended =
            ["Complete", "Failed"].iter().any(|kind| condition(&self.status, kind).is_some());
        let count = |test: &dyn Fn(&Value) -> bool| {
            self.pods.iter().filter(|pod| !ended && test(pod)).count()
        };
        let (active, ready) = (count(&is_active), count(&|pod| is_active(pod) && is_ready(pod)));
        let terminating = self.pods.iter().filter(|pod| is_terminating(pod)).count();
        match active {
            0 => remove(&mut self.status, "active"),
            active => self.status["active"] = active.into(),
        }
        self.status["ready"] = ready.into();
        self.status["terminating"] = terminating.into();
        self.status["uncountedTerminatedPods"] = json!({});
        if self.status != self.job["status"] {
            let status = self.status.take();
            let _gone = ctx.edit(&Collection::JOBS, Part::Status, &self.job, |job| {
                job["status"] = status;
            });
        }
    }
}

/// The kubelet has let go of the pod.
fn only_tracking_keeps(pod: &Value) -> bool {
    pod.int("/metadata/deletionGracePeriodSeconds") == Some(0)
}
