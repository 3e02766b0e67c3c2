//! The StatefulSet controller (pkg/controller/statefulset): pods with names, in order.

mod pod;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::collection::Collection;
use crate::controller::Next;
use crate::controller::context::{Context, Note};
use crate::controller::history::{History, Keeper};
use crate::controller::meta::{Round, controller_name, controller_ref, int_or_percent, selects};
use crate::controller::pods::{has_ended, is_available, is_ready, next_available};
use crate::object::Object;
use crate::store::{Change, Entry, Place, Store};

const REVISION_LABEL: &str = "controller-revision-hash";

/// Tells which StatefulSets have to be looked at after a write.
pub(crate) fn observe(entry: &Entry, store: &Store, push: &mut dyn FnMut(Place)) {
    let object = &entry.object;
    let place = |name: &str| (object.namespace().to_owned(), name.to_owned());
    if entry.collection == Collection::STATEFUL_SETS {
        if entry.change != Change::Deleted {
            push(place(object.name()));
        }
    } else if entry.collection == Collection::PODS {
        if let Some(name) = controller_name(object, "StatefulSet") {
            push(place(name));
        } else if object.controller_uid().is_none() {
            for set in store.list(&Collection::STATEFUL_SETS, Some(object.namespace())) {
                if selects(&set["spec"]["selector"], &object["metadata"]["labels"]) {
                    push(place(set.name()));
                }
            }
        }
    }
}

/// Looks at one StatefulSet.
pub(crate) fn reconcile(ctx: &mut Context<'_>, place: &Place) -> Next {
    let Some(set) = ctx.get(&Collection::STATEFUL_SETS, place) else { return Next::Done };
    let owner = controller_ref(&set, "apps/v1", "StatefulSet");
    let pods = ctx.claim(&Collection::PODS, &set, &owner);
    let mut history = History::of(ctx, Keeper::StatefulSet, &set, &owner);
    let Some(update) = history.update(ctx, &set, &owner) else { return Next::Retry };
    let current = set.text("/status/currentRevision").and_then(|name| history.get(name)).cloned();
    let current = current.unwrap_or_else(|| Arc::clone(&update));
    let mut work = Work::new(&set, owner, (&current, &update), pods);
    let outcome = if set.is_terminating() { Ok(()) } else { work.perform(ctx) };
    work.write_status(ctx, history.collisions());
    history.truncate(ctx, &set, |revision| {
        let name = revision.name();
        name == current.name()
            || name == update.name()
            || work.all().any(|pod| pod.label(REVISION_LABEL) == Some(name))
    });
    if outcome.is_err() {
        return Next::Retry;
    }
    let (min_ready, now) = (work.spec.min_ready, ctx.time());
    Next::after(next_available(work.all().map(|pod| &**pod), min_ready, now))
}

/// What a StatefulSet asks for, with the API's defaults.
#[derive(Clone, Copy, Debug)]
struct Spec {
    start: i64,
    replicas: i64,
    min_ready: i64,
    is_parallel: bool,
    rolls: bool,
    partition: i64,
    max_unavailable: usize,
}

impl Spec {
    fn read(set: &Value) -> Self {
        let spec = &set["spec"];
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        let strategy = &spec["updateStrategy"];
        let unavailable = &strategy["rollingUpdate"]["maxUnavailable"];
        let unavailable = int_or_percent(unavailable, replicas, Round::Up).unwrap_or(1).max(1);
        Self {
            start: set.int("/spec/ordinals/start").unwrap_or_default(),
            replicas,
            min_ready: spec["minReadySeconds"].as_i64().unwrap_or_default(),
            is_parallel: spec["podManagementPolicy"] == "Parallel",
            rolls: strategy["type"] != "OnDelete",
            partition: strategy["rollingUpdate"]["partition"].as_i64().unwrap_or_default(),
            max_unavailable: usize::try_from(unavailable).unwrap_or(1),
        }
    }
}

/// One StatefulSet with its pods, during one look at it.
#[derive(Debug)]
struct Work<'a> {
    set: &'a Arc<Value>,
    spec: Spec,
    owner: Value,
    current: &'a Arc<Value>,
    update: &'a Arc<Value>,
    /// Pods whose ordinal is wanted.
    replicas: BTreeMap<i64, Arc<Value>>,
    /// Pods whose ordinal is not wanted any more.
    condemned: BTreeMap<i64, Arc<Value>>,
}

/// Whether the next pod may be looked at: ordered sets do one thing at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    GoOn,
    Stop,
}

impl<'a> Work<'a> {
    fn new(
        set: &'a Arc<Value>,
        owner: Value,
        (current, update): (&'a Arc<Value>, &'a Arc<Value>),
        pods: Vec<Arc<Value>>,
    ) -> Self {
        let spec = Spec::read(set);
        let prefix = format!("{}-", set.name());
        let ordinal = |pod: &Value| pod.name().strip_prefix(&prefix)?.parse::<i64>().ok();
        let wanted = spec.start..spec.start + spec.replicas;
        let pods = pods.into_iter().filter_map(|pod| Some((ordinal(&pod)?, pod)));
        let (replicas, condemned) = pods.partition(|(ordinal, _)| wanted.contains(ordinal));
        Self { set, spec, owner, current, update, replicas, condemned }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.replicas.values().chain(self.condemned.values())
    }

    fn perform(&mut self, ctx: &mut Context<'_>) -> Result<(), String> {
        for ordinal in self.spec.start..self.spec.start + self.spec.replicas {
            if self.process_replica(ctx, ordinal)? == Step::Stop {
                return Ok(());
            }
        }
        let unhealthy = self.first_unhealthy(ctx);
        for (ordinal, pod) in self.condemned.clone().into_iter().rev() {
            if self.process_condemned(ctx, &pod, unhealthy == Some(ordinal))? == Step::Stop {
                return Ok(());
            }
        }
        if self.spec.rolls { self.roll(ctx) } else { Ok(()) }
    }

    /// Creates a pod that is missing, replaces one that ended, and, in order, waits for one that
    /// is not there yet: a broken pod blocks all after it, whatever the template is by now.
    fn process_replica(&mut self, ctx: &mut Context<'_>, ordinal: i64) -> Result<Step, String> {
        let stop = if self.spec.is_parallel { Step::GoOn } else { Step::Stop };
        let Some(pod) = self.replicas.get(&ordinal).cloned() else {
            let created = self.create(ctx, ordinal)?;
            self.replicas.insert(ordinal, created);
            return Ok(stop);
        };
        if has_ended(&pod) && !pod.is_terminating() {
            self.delete(ctx, &pod)?;
            return Ok(Step::Stop);
        }
        let waits = pod.is_terminating() || !self.is_healthy(ctx, &pod);
        Ok(if waits { stop } else { Step::GoOn })
    }

    fn process_condemned(
        &self,
        ctx: &mut Context<'_>,
        pod: &Arc<Value>,
        is_first_unhealthy: bool,
    ) -> Result<Step, String> {
        let stop = if self.spec.is_parallel { Step::GoOn } else { Step::Stop };
        if pod.is_terminating() {
            return Ok(stop);
        }
        let must_wait = !self.is_healthy(ctx, pod) && !is_first_unhealthy;
        if must_wait && !self.spec.is_parallel {
            return Ok(Step::Stop);
        }
        self.delete(ctx, pod)?;
        Ok(stop)
    }

    fn first_unhealthy(&self, ctx: &Context<'_>) -> Option<i64> {
        let all = self.replicas.iter().chain(&self.condemned);
        let mut unhealthy = all.filter(|(_, pod)| !self.is_healthy(ctx, pod));
        unhealthy.next().map(|(ordinal, _)| *ordinal)
    }

    /// Replaces pods of an old revision, the highest ordinal first, as many at a time as may be
    /// unavailable.
    fn roll(&self, ctx: &mut Context<'_>) -> Result<(), String> {
        let mut unavailable =
            self.replicas.values().filter(|pod| !self.is_healthy(ctx, pod)).count();
        for (ordinal, pod) in self.replicas.iter().rev() {
            if *ordinal < self.spec.start + self.spec.partition {
                break;
            }
            let is_old = pod.label(REVISION_LABEL) != Some(self.update.name());
            let is_healthy = self.is_healthy(ctx, pod);
            if is_old && !pod.is_terminating() {
                if is_healthy && unavailable >= self.spec.max_unavailable {
                    break;
                }
                self.delete(ctx, pod)?;
                unavailable += usize::from(is_healthy);
            }
            if unavailable >= self.spec.max_unavailable {
                break;
            }
        }
        Ok(())
    }

    fn is_healthy(&self, ctx: &Context<'_>, pod: &Value) -> bool {
        pod.text("/status/phase") == Some("Running")
            && is_ready(pod)
            && !pod.is_terminating()
            && is_available(pod, self.spec.min_ready, ctx.time())
    }

    fn delete(&self, ctx: &mut Context<'_>, pod: &Value) -> Result<(), String> {
        let (set, name) = (self.set.name(), pod.name());
        match ctx.delete(&Collection::PODS, pod, None) {
            Ok(()) | Err(crate::store::StoreError::NotFound { .. }) => {
                let message = format!("delete Pod {name} in StatefulSet {set} successful");
                ctx.event(self.set, Note::Normal("SuccessfulDelete"), &message);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}
