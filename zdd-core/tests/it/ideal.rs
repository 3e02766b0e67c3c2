//! A cluster in memory that does what it is told, one pod a second, with faults on request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use serde_json::json;
use tokio::sync::watch;
use zdd_core::{
    Amount, Backend, Change, Clock, Cluster, ClusterError, Completion, Counts, Decision,
    DeploymentStrategy, Epoch, InMemoryJournal, InMemoryLease, Mark, Milestone, Observation, Pod,
    Prepared, Progress, ProgressKind, Request, RevisionHash, Rollout, RolloutId, Service, Snapshot,
    Step, Target, Template, Trouble, TroubleKind, Uid, Version, Wait, Workload, later,
};

pub(crate) fn target() -> Target {
    Target::deployment("default", "web")
}

pub(crate) fn template(image: &str) -> Template {
    Template::new(json!({ "image": image }))
}

pub(crate) fn clock() -> Clock {
    Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap())
}

/// What goes wrong with the next write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Conflict,
    /// Not done, and meanwhile someone has edited the target and a pod is not ready any more.
    Disturbed,
    Refuse,
    /// Accepted, and taken back at once by something else in the cluster.
    TakenBack,
    UnknownAfterEffect,
    UnknownBeforeEffect,
    Unavailable,
}

#[derive(Debug)]
struct World {
    snapshot: Snapshot,
    faults: VecDeque<Fault>,
    writes: Vec<String>,
    broken: Option<Template>,
    before_fence: Option<fn(&mut Snapshot)>,
    /// The next announcement of an end is never answered.
    silent_end: bool,
    /// What the watch shows in the place of what is there.
    shown: Option<Snapshot>,
}

/// Clones share their state.
#[derive(Clone, Debug)]
pub(crate) struct Ideal {
    world: Arc<Mutex<World>>,
    changed: watch::Sender<u64>,
    pub(crate) journal: InMemoryJournal,
    pub(crate) lease: InMemoryLease,
}

impl Ideal {
    /// A Deployment with that many pods of `web:1`, behind one Service.
    pub(crate) fn with_pods(replicas: u32) -> Self {
        let mut workload =
            Workload::new(Uid::new("uid-1"), Version::new("1"), 1, template("web:1"));
        workload.replicas = replicas;
        workload.revision = Some(RevisionHash::new("web:1"));
        workload.settings.max_surge = Some(Amount::Count(1));
        workload.settings.max_unavailable = Some(1.into());
        let mut snapshot = Snapshot::default();
        snapshot.workload = Some(workload);
        snapshot.pods = (0..replicas).map(|index| pod("web:1", index)).collect();
        let ideal = Self {
            world: Arc::new(Mutex::new(World {
                snapshot,
                faults: VecDeque::new(),
                writes: Vec::new(),
                broken: None,
                before_fence: None,
                silent_end: false,
                shown: None,
            })),
            changed: watch::channel(0).0,
            journal: InMemoryJournal::default(),
            lease: InMemoryLease::default(),
        };
        ideal.change(settle);
        ideal
    }

    pub(crate) fn backend(&self) -> Backend {
        let cluster: Arc<dyn Cluster> = Arc::new(self.clone());
        Backend::new(cluster, Arc::new(self.journal.clone()), Arc::new(self.lease.clone()))
    }

    pub(crate) fn rollout(&self, image: &str) -> Rollout {
        self.rollout_by(image, Simple { bake: Duration::from_secs(5) })
    }

    pub(crate) fn rollout_by(
        &self,
        image: &str,
        strategy: impl DeploymentStrategy + 'static,
    ) -> Rollout {
        Self::described(self.backend(), image, strategy)
    }

    pub(crate) fn rollout_on(backend: Backend, image: &str) -> Rollout {
        Self::described(backend, image, Simple { bake: Duration::from_secs(5) })
    }

    fn described(
        backend: Backend,
        image: &str,
        strategy: impl DeploymentStrategy + 'static,
    ) -> Rollout {
        let change = Change::image("web", image);
        Rollout::new(backend, target(), change, strategy)
            .id(RolloutId::new(format!("to-{image}")))
            .clock(clock())
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.world.lock().unwrap().faults.push_back(fault);
    }

    /// New pods of that template crash.
    pub(crate) fn break_image(&self, image: &str) {
        self.world.lock().unwrap().broken = Some(template(image));
    }

    /// New pods crash no more, and those that did are gone.
    pub(crate) fn mend_image(&self) {
        self.world.lock().unwrap().broken = None;
        self.change(|snapshot| snapshot.pods.retain(|pod| pod.ready));
    }

    /// The watch shows what is there now, edited, until [`Self::show_what_is_there`].
    pub(crate) fn show(&self, edit: impl FnOnce(&mut Snapshot)) {
        let mut shown = self.seen();
        edit(&mut shown);
        self.world.lock().unwrap().shown = Some(shown);
        self.show_again();
    }

    pub(crate) fn show_what_is_there(&self) {
        self.world.lock().unwrap().shown = None;
        self.show_again();
    }

    /// The watch gives what it shows once more.
    pub(crate) fn show_again(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// What an older driver writes just before the next fence.
    pub(crate) fn before_fence(&self, write: fn(&mut Snapshot)) {
        self.world.lock().unwrap().before_fence = Some(write);
    }

    /// The next announcement of an end is never answered.
    pub(crate) fn hang_at_the_end(&self) {
        self.world.lock().unwrap().silent_end = true;
    }

    pub(crate) fn change(&self, edit: impl FnOnce(&mut Snapshot)) {
        edit(&mut self.world.lock().unwrap().snapshot);
        self.show_again();
    }

    pub(crate) fn seen(&self) -> Snapshot {
        self.world.lock().unwrap().snapshot.clone()
    }

    pub(crate) fn workload(&self) -> Workload {
        self.seen().workload.unwrap()
    }

    /// The writes to the target, by name, in order.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.world.lock().unwrap().writes.clone()
    }

    /// Runs a future with the controller beside it.
    pub(crate) async fn beside<T>(&self, future: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            result = future => result,
            () = self.control() => unreachable!("the controller never ends"),
        }
    }

    async fn control(&self) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let broken = self.world.lock().unwrap().broken.clone();
            let before = self.seen();
            let mut after = before.clone();
            roll(&mut after, broken.as_ref());
            if after != before {
                self.change(|snapshot| *snapshot = after);
            }
        }
    }
}

fn pod(image: &str, index: u32) -> Pod {
    let name = format!("{image}-{index}");
    let mut pod = Pod::new(Uid::new(&name), &name, Some(RevisionHash::new(image)));
    pod.ready = true;
    pod
}

/// One turn of the controller: one old pod is replaced, without ever lacking one.
fn roll(snapshot: &mut Snapshot, broken: Option<&Template>) {
    let Some(workload) = &mut snapshot.workload else { return };
    let image = workload.template.as_value()["image"].as_str().unwrap().to_owned();
    let revision = RevisionHash::new(&image);
    workload.revision = Some(revision.clone());
    if !workload.paused {
        let old = snapshot.pods.iter().position(|pod| pod.revision.as_ref() != Some(&revision));
        if Some(&workload.template) == broken {
            if snapshot.updated().next().is_none() {
                let mut sick = pod(&image, 900);
                sick.ready = false;
                let mut trouble = Trouble::new(TroubleKind::Crash, "exit code 1");
                trouble.restarts = 3;
                sick.trouble = Some(trouble);
                snapshot.pods.push(sick);
            }
        } else if let Some(old) = old {
            let taken = |index: &u32| {
                snapshot.pods.iter().all(|pod| pod.name != format!("{image}-{index}"))
            };
            let free = (0..).find(taken).unwrap();
            let removed = snapshot.pods.remove(old);
            if removed.ready {
                snapshot.pods.push(pod(&image, free));
            }
        }
    }
    settle(snapshot);
}

/// Brings status and endpoints in line with the pods.
fn settle(snapshot: &mut Snapshot) {
    let ready = snapshot.pods.iter().filter(|pod| pod.ready).map(|pod| pod.uid.clone()).collect();
    snapshot.services = vec![Service::new("web", ready)];
    let updated = u32::try_from(snapshot.updated().count()).unwrap();
    let total = u32::try_from(snapshot.pods.len()).unwrap();
    let ready = u32::try_from(snapshot.pods.iter().filter(|pod| pod.ready).count()).unwrap();
    let Some(workload) = &mut snapshot.workload else { return };
    workload.counts = Counts::default();
    workload.counts.total = total;
    workload.counts.updated = updated;
    workload.counts.ready = ready;
    workload.counts.available = ready;
    let complete = updated == workload.replicas && total == updated && ready == total;
    workload.completion = if complete {
        Completion::Complete
    } else {
        Completion::Waiting { what: format!("{updated} of {} pods updated", workload.replicas) }
    };
}

fn effect(snapshot: &mut Snapshot, step: &Step) {
    let Some(workload) = &mut snapshot.workload else { return };
    match step {
        Step::DeletePod { uid, .. } => snapshot.pods.retain(|pod| pod.uid != *uid),
        Step::Pause => workload.paused = true,
        Step::Resume => workload.paused = false,
        Step::SetPartition { partition } => workload.settings.partition = Some(*partition),
        Step::RestoreSettings { settings } => workload.settings = settings.or(&workload.settings),
        Step::SetTemplate { template, settings } => {
            if workload.template != *template {
                workload.completion = Completion::Unobserved;
                workload.revision = None;
            }
            workload.template = template.clone();
            workload.settings = settings.or(&workload.settings);
        }
    }
    workload.generation += 1;
}

fn cause() -> zdd_core::Cause {
    Arc::new(std::io::Error::other("injected"))
}

#[async_trait]
impl Cluster for Ideal {
    async fn prepare(&self, request: &Request<'_>) -> Result<Prepared, ClusterError> {
        let snapshot = self.seen();
        let Change::Image { image, .. } = request.change else {
            return Err(ClusterError::refused(request.target, "only images here"));
        };
        Ok(Prepared::new(snapshot, template(image)))
    }

    async fn observe(&self, _: &Target) -> Result<Snapshot, ClusterError> {
        Ok(self.seen())
    }

    fn watch(&self, _: &Target) -> BoxStream<'static, Result<Snapshot, ClusterError>> {
        let mut changed = self.changed.subscribe();
        changed.mark_changed();
        let this = self.clone();
        futures::stream::unfold((changed, this), |(mut changed, this)| async move {
            changed.changed().await.ok()?;
            let shown = this.world.lock().unwrap().shown.clone();
            Some((Ok(shown.unwrap_or_else(|| this.seen())), (changed, this)))
        })
        .boxed()
    }

    async fn apply(&self, step: &Step, seen: &Snapshot, _: &Mark<'_>) -> Result<(), ClusterError> {
        let (action, object) = (step.name().to_owned(), target().to_string());
        let fault = self.world.lock().unwrap().faults.pop_front();
        match fault {
            Some(Fault::Conflict) => return Err(ClusterError::Conflict { object }),
            Some(Fault::Refuse) => return Err(ClusterError::refused(&object, "no")),
            Some(Fault::UnknownBeforeEffect) => {
                return Err(ClusterError::Unknown { action, object, source: cause() });
            }
            Some(Fault::Unavailable) => {
                return Err(ClusterError::Unavailable { action, object, source: cause() });
            }
            Some(Fault::Disturbed) => {
                self.change(|snapshot| {
                    snapshot.pods[0].ready = false;
                    if let Some(workload) = &mut snapshot.workload {
                        workload.generation += 1;
                    }
                    settle(snapshot);
                });
                return Err(ClusterError::Unavailable { action, object, source: cause() });
            }
            Some(Fault::TakenBack) => {
                self.world.lock().unwrap().writes.push(action);
                return Ok(());
            }
            Some(Fault::UnknownAfterEffect) | None => {}
        }
        let generation = |snapshot: &Snapshot| snapshot.workload.as_ref().map(|w| w.generation);
        if generation(seen) != generation(&self.seen()) {
            return Err(ClusterError::Conflict { object });
        }
        self.world.lock().unwrap().writes.push(action.clone());
        self.change(|snapshot| effect(snapshot, step));
        match fault {
            Some(_) => Err(ClusterError::Unknown { action, object, source: cause() }),
            None => Ok(()),
        }
    }

    async fn announce(&self, _: &Mark<'_>, progress: &Progress) {
        let end = matches!(progress.kind, ProgressKind::Finished { .. });
        if end && std::mem::take(&mut self.world.lock().unwrap().silent_end) {
            std::future::pending().await
        }
    }

    async fn fence(&self, mark: &Mark<'_>) -> Result<(), ClusterError> {
        let mut newer = None;
        let older = self.world.lock().unwrap().before_fence.take();
        self.change(|snapshot| {
            if let Some(write) = older {
                write(snapshot);
            }
            if let Some(workload) = &mut snapshot.workload {
                newer = workload.epoch.filter(|epoch| *epoch > mark.epoch);
                workload.epoch = workload.epoch.max(Some(mark.epoch));
            }
        });
        match newer {
            Some(newer) => Err(ClusterError::Fenced { object: target().to_string(), newer }),
            None => Ok(()),
        }
    }
}

/// Sets the template, waits, bakes under gates, gives the settings back.
#[derive(Clone, Debug)]
pub(crate) struct Simple {
    pub(crate) bake: Duration,
}

const COMPLETE: Milestone = Milestone::new("complete");

impl DeploymentStrategy for Simple {
    fn name(&self) -> &'static str {
        "simple"
    }

    fn next(&self, seen: &Observation<'_>) -> Decision {
        let workload = seen.workload().unwrap();
        if seen.intervention() == zdd_core::Intervention::Pause {
            return Decision::Wait(Wait::new("paused", "operator"));
        }
        if workload.template != *seen.template() {
            let settings = self.settings(seen.kind());
            return Decision::Apply(Step::SetTemplate {
                template: seen.template().clone(),
                settings,
            });
        }
        if let Some((pod, trouble, _)) = seen.failing().next() {
            let (pod, message) = (pod.name.clone(), trouble.to_string());
            return Decision::RollBack(zdd_core::Reason::PodsFailing { pod, message });
        }
        if !seen.is_complete() {
            return Decision::Wait(Wait::new("converge", seen.missing()));
        }
        let Some(since) = seen.reached(&COMPLETE) else { return Decision::Reach(COMPLETE) };
        match seen.judgement() {
            zdd_core::Judgement::Fail { gate, evidence } => {
                return Decision::RollBack(zdd_core::Reason::GateFailed { gate, evidence });
            }
            judgement @ (zdd_core::Judgement::Pass | zdd_core::Judgement::Pending { .. }) => {
                let end = later(since, self.bake);
                let pending = judgement != zdd_core::Judgement::Pass;
                if (seen.now() < end || pending) && !seen.is_promoted() {
                    let wait = Wait::new("bake", "bake").gated();
                    return Decision::Wait(if seen.now() < end { wait.until(end) } else { wait });
                }
            }
        }
        let restore = Step::RestoreSettings { settings: seen.settings_to_restore() };
        if restore.holds(seen.snapshot()) { Decision::Finish } else { Decision::Apply(restore) }
    }
}

pub(crate) fn epoch(number: u64) -> Epoch {
    Epoch::new(number)
}
