//! Brings one pod from what it is to what its object asks for.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::config::missing_reference;
use super::container::{Container, Role, State, ended};
use super::runtime::{ContainerId, Start};
use super::status::{Facts, status};
use super::{Kubelet, Pod, Stopping};
use crate::collection::Collection;
use crate::controller::Next;
use crate::controller::context::{Context, Note};
use crate::controller::pods::has_ended;
use crate::object::Object;
use crate::store::{Part, Place};

/// How long a failed pull shows as ErrImagePull, and how soon a missing ConfigMap is looked for
/// again: the period of the kubelet's own retries.
const RETRY: Duration = Duration::from_secs(10);
/// A preStop hook that used up the grace period leaves so much to the process.
const LAST_GRACE: Duration = Duration::from_secs(2);
const NODE_IP: &str = "10.0.0.2";

impl Kubelet {
    /// Looks at one pod.
    pub(crate) fn reconcile(&mut self, ctx: &mut Context<'_>, place: &Place) -> Next {
        self.now = ctx.now;
        let object = ctx.get(&Collection::PODS, place);
        self.drop_others(place, object.as_deref());
        let Some(object) = object else { return Next::Done };
        let known = self.pods.contains_key(place);
        if object.text("/spec/nodeName").is_none() || has_ended(&object) && !known {
            return Next::Done;
        }
        if !known {
            if object.is_terminating() {
                // Nothing of it ever ran here.
                let _gone = ctx.delete(&Collection::PODS, &object, Some(0));
                return Next::Done;
            }
            self.admit(&object, place);
        }
        let Some(mut pod) = self.pods.remove(place) else { return Next::Done };
        if object.is_terminating() {
            self.stop(&object, &mut pod);
        } else {
            self.run(ctx, &object, &mut pod);
        }
        for (note, message) in pod.notes.drain(..) {
            ctx.event(&object, note, &message);
        }
        pod.write(ctx, &object);
        let is_over = object.is_terminating() && !pod.containers.iter().any(Container::is_alive);
        if is_over && ctx.delete(&Collection::PODS, &object, Some(0)).is_ok() {
            self.places.remove(&pod.uid);
            self.forget(&pod);
            return Next::Done;
        }
        let wake = pod.wake(object.is_terminating());
        self.pods.insert(place.clone(), pod);
        Next::after(wake.map(|at| at.saturating_duration_since(ctx.now)))
    }

    /// Ends what runs for a pod that is no longer the one of this name.
    fn drop_others(&mut self, place: &Place, object: Option<&Value>) {
        let uid = object.map(Value::uid);
        if let Some(pod) = self.pods.get(place)
            && uid != Some(&*pod.uid)
            && let Some(pod) = self.pods.remove(place)
        {
            self.places.remove(&pod.uid);
            for container in pod.containers.iter().filter(|container| container.is_alive()) {
                // The object was removed by force: the kubelet gives the process a second.
                self.tell_to_stop(&pod.uid, container, Duration::from_secs(1));
            }
        }
    }

    fn admit(&mut self, object: &Value, place: &Place) {
        let uid: Arc<str> = Arc::from(object.uid());
        let containers = Container::all(object, self.now);
        self.places.insert(Arc::clone(&uid), place.clone());
        self.pods.insert(
            place.clone(),
            Pod { uid, ip: None, containers, stopping: None, notes: Vec::new() },
        );
    }

    /// Starts what has to be started.
    fn run(&mut self, ctx: &mut Context<'_>, object: &Arc<Value>, pod: &mut Pod) {
        let policy = object.text("/spec/restartPolicy").unwrap_or("Always");
        if has_failed_init(pod, policy) {
            return;
        }
        self.end_sidecars(pod, policy);
        for index in 0..pod.containers.len() {
            if !Container::is_released(index, &pod.containers) {
                break;
            }
            let container = &mut pod.containers[index];
            if container.has_finished(policy) {
                continue;
            }
            if let State::Ended { code, started, finished } = &container.state {
                container.last = ended(*code, started, finished);
                let wait = container.back_off.fail(self.now);
                if wait.is_zero() {
                    self.start(ctx, object, pod, index);
                    continue;
                }
                let message = format!(
                    "back-off {} restarting failed container={} pod={}_{}({})",
                    go_duration(wait),
                    container.name,
                    object.name(),
                    object.namespace(),
                    object.uid(),
                );
                ctx.event(object, Note::Warning("BackOff"), &message);
                container.wait("CrashLoopBackOff", message, self.now + wait);
            }
            if let State::Waiting { until, .. } = &container.state
                && *until <= self.now
            {
                self.start(ctx, object, pod, index);
            }
        }
    }

    fn start(&mut self, ctx: &mut Context<'_>, object: &Arc<Value>, pod: &mut Pod, index: usize) {
        let now = self.now;
        let container = &mut pod.containers[index];
        let spec = container.spec(object);
        let ends = container.role == Role::Init || is_of_job(object);
        let image = match ends {
            true => self.images.get_finite(&container.image),
            false => self.images.get(&container.image).cloned(),
        };
        let Some(image) = image else {
            return fail_pull(ctx, object, container, spec, now);
        };
        if let Some(message) = missing_reference(ctx.store, object.namespace(), spec) {
            container.wait("CreateContainerConfigError", message, now + RETRY);
            return;
        }
        let kind = image.kind();
        let Some(runtime) = self.runtimes.get_mut(&kind) else {
            let message = format!("the cluster has no runtime for {kind:?} images");
            container.wait("CreateContainerError", message, now + RETRY);
            return;
        };
        let ip = match pod.ip.map_or_else(|| self.addresses.of(kind), Ok) {
            Ok(ip) => *pod.ip.insert(ip),
            Err(message) => {
                container.wait("CreateContainerError", message, now + RETRY);
                return;
            }
        };
        if let Some(message) = self.images.notice(&container.image).filter(|_| container.runs == 0)
        {
            ctx.event(object, Note::Normal("Simulated"), &message);
        }
        container.runtime = Some(kind);
        container.state = State::Starting { shown: container.shown() };
        let id = ContainerId { pod: Arc::clone(&pod.uid), container: Arc::clone(&container.name) };
        let restarts = container.runs;
        runtime.start(Start { id, pod: object, image: &image, ip, restarts });
    }

    /// Sidecars go when the work is done.
    fn end_sidecars(&mut self, pod: &Pod, policy: &str) {
        let main = pod.containers.iter().filter(|container| container.role == Role::Main);
        if !main.into_iter().all(|container| container.has_finished(policy)) {
            return;
        }
        let sidecars = pod.containers.iter().filter(|container| container.role == Role::Sidecar);
        for sidecar in sidecars.filter(|sidecar| sidecar.is_alive()) {
            self.tell_to_stop(&pod.uid, sidecar, LAST_GRACE);
        }
    }

    /// Takes the termination of a pod one step further: preStop, SIGTERM, and a shorter grace when
    /// someone asked for it in the meantime.
    fn stop(&mut self, object: &Value, pod: &mut Pod) {
        let grace = object.int("/metadata/deletionGracePeriodSeconds").unwrap_or(30);
        let grace = Duration::from_secs(grace.try_into().unwrap_or_default());
        let now = self.now;
        let runs_hooks = |kind| self.runtimes.get(&kind).is_some_and(|r| r.runs_pre_stop());
        let are_run = pod.containers.iter().filter_map(|c| c.runtime).any(runs_hooks);
        let hooks = if are_run { Duration::ZERO } else { pre_stop(object) };
        let stopping = pod.stopping.get_or_insert_with(|| {
            let deadline = now + grace;
            Stopping { deadline, term_at: now + hooks.min(grace), told: None }
        });
        stopping.deadline = stopping.deadline.min(now + grace);
        stopping.term_at = stopping.term_at.min(stopping.deadline);
        if stopping.term_at > now || stopping.told.is_some_and(|told| told <= stopping.deadline) {
            return;
        }
        let left = stopping.deadline - now;
        let left = if left.is_zero() && !grace.is_zero() { LAST_GRACE } else { left };
        stopping.told = Some(stopping.deadline);
        let uid = Arc::clone(&pod.uid);
        for container in pod.containers.iter().filter(|container| container.is_alive()) {
            self.tell_to_stop(&uid, container, left);
        }
    }

    /// Frees what a pod whose containers have all ended still holds.
    fn forget(&mut self, pod: &Pod) {
        for container in &pod.containers {
            let id = ContainerId::new(Arc::clone(&pod.uid), Arc::clone(&container.name));
            if let Some(runtime) = container.runtime.and_then(|kind| self.runtimes.get_mut(&kind)) {
                runtime.forget(&id);
            }
        }
        #[cfg(feature = "process")]
        if let Some(ip) = pod.ip {
            self.addresses.release(ip);
        }
    }

    fn tell_to_stop(&mut self, uid: &Arc<str>, container: &Container, grace: Duration) {
        let runtime = container.runtime.and_then(|kind| self.runtimes.get_mut(&kind));
        if let Some(runtime) = runtime {
            let id = ContainerId { pod: Arc::clone(uid), container: Arc::clone(&container.name) };
            runtime.stop(&id, grace);
        }
    }
}

/// An init container that may not be tried again has failed: nothing else will start.
fn has_failed_init(pod: &Pod, policy: &str) -> bool {
    pod.containers.iter().any(|container| {
        let failed = matches!(container.state, State::Ended { code, .. } if code != 0);
        container.role == Role::Init && failed && policy == "Never"
    })
}

fn is_of_job(pod: &Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.into_iter().any(|owner| owner["kind"] == "Job" && owner["controller"] == true)
}

impl Pod {
    fn write(&self, ctx: &mut Context<'_>, object: &Value) {
        let ip = self.ip.map(|ip| ip.to_string());
        let stamp = ctx.stamp();
        let facts = Facts { host_ip: NODE_IP, pod_ip: ip.as_deref(), stamp: &stamp };
        let status = status(object, &self.containers, &facts);
        if status != object["status"] {
            let _gone = ctx.edit(&Collection::PODS, Part::Status, object, |object| {
                object["status"] = status;
            });
        }
    }

    /// When something is due without a report or a write.
    fn wake(&self, terminating: bool) -> Option<Instant> {
        if terminating {
            return self.stopping.filter(|stop| stop.told.is_none()).map(|stop| stop.term_at);
        }
        let released = self.containers.iter().enumerate();
        let released = released
            .filter(|(index, _)| Container::is_released(*index, &self.containers))
            .map(|(_, container)| container);
        let waits = released.filter_map(|container| match container.state {
            State::Waiting { until, .. } => Some(until),
            State::Ended { .. } | State::Running { .. } | State::Starting { .. } => None,
        });
        waits.min()
    }
}

/// A pull of an image that is not there: ErrImagePull first, then ImagePullBackOff until the next
/// try.
fn fail_pull(
    ctx: &mut Context<'_>,
    object: &Value,
    container: &mut Container,
    spec: &Value,
    now: Instant,
) {
    let image = container.image.clone();
    if spec["imagePullPolicy"] == "Never" {
        let message =
            format!("Container image \"{image}\" is not present with pull policy of Never");
        container.wait("ErrImageNeverPull", message, now + RETRY);
        return;
    }
    let shows_error = matches!(container.state, State::Waiting { reason: "ErrImagePull", .. });
    let error = format!(
        "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": \
         {image}: not found"
    );
    if shows_error {
        let wait = container.pull_back_off.fail(now).max(RETRY);
        let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {error}");
        ctx.event(object, Note::Normal("BackOff"), &format!("Back-off pulling image \"{image}\""));
        container.wait("ImagePullBackOff", message, now + wait);
    } else {
        let message = format!("Failed to pull image \"{image}\": {error}");
        ctx.event(object, Note::Warning("Failed"), &message);
        container.wait("ErrImagePull", error, now + RETRY);
    }
}

/// How long the preStop hooks of a pod take: `sleep` actions, and `sleep N` as a command.
fn pre_stop(object: &Value) -> Duration {
    let containers = object["spec"]["containers"].as_array().into_iter().flatten();
    let seconds = containers.map(|container| {
        let hook = &container["lifecycle"]["preStop"];
        let command = hook["exec"]["command"].as_array().into_iter().flatten();
        let words = command.filter_map(Value::as_str).flat_map(str::split_whitespace);
        let mut words = words.skip_while(|word| !word.ends_with("sleep")).skip(1);
        let slept = words.next().and_then(|word| word.parse::<f64>().ok());
        hook["sleep"]["seconds"].as_f64().or(slept).unwrap_or_default()
    });
    Duration::from_secs_f64(seconds.fold(0.0, f64::max))
}

/// Writes a time as Go does in the kubelet's messages: `10s`, `2m40s`.
fn go_duration(time: Duration) -> String {
    let (minutes, seconds) = (time.as_secs() / 60, time.as_secs() % 60);
    if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") }
}
