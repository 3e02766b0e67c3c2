//! Runs the controllers in the order of time, one object at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::builder::Latencies;
use crate::controller::context::{Admission, Context};
use crate::controller::index::Index;
use crate::controller::queue::{Queue, Task};
use crate::controller::scheduler::Scheduler;
use crate::controller::{
    Controller, Next, daemon_set, deployment, disruption, endpoint_slice, garbage, job, namespace,
    quota, replica_set, stateful_set,
};
use crate::dataplane::DataPlane;
use crate::dataplane::servers::Servers;
use crate::image::{Images, RuntimeKind, Span};
use crate::invariant::{Invariants, Moment};
use crate::kubelet::{Kubelet, Reports, Runtime, Simulated};
use crate::store::{Change, Entry, Place, Store};

/// The waits of client-go's exponential failure rate limiter.
const FIRST_RETRY: Duration = Duration::from_millis(5);
const LAST_RETRY: Duration = Duration::from_secs(1000);

#[derive(Debug)]
pub(crate) struct Engine {
    /// The revision up to which the log was read; 0 before the first step.
    seen: u64,
    index: Index,
    queue: Queue,
    failures: HashMap<Task, u32>,
    actors: BTreeMap<Controller, Arc<str>>,
    latencies: Latencies,
    admission: Option<Box<dyn Admission>>,
    writes_events: bool,
    scheduler: Scheduler,
    kubelet: Kubelet,
    plane: DataPlane,
    servers: Servers,
    reports: Reports,
    invariants: Invariants,
    /// The state of the data plane that the invariants saw last.
    checked: u64,
}

impl Engine {
    pub(super) fn new(
        (images, latencies, admission): (Images, Latencies, Option<Box<dyn Admission>>),
        (reports, seed, writes_events): (&Reports, u64, bool),
    ) -> Self {
        let servers = Servers::default();
        let mut kubelet = Kubelet::new(images);
        let simulated = Simulated::new(reports.clone(), servers.clone(), seed ^ 1);
        kubelet.add_runtime(RuntimeKind::Simulated, Box::new(simulated));
        Self {
            seen: 0,
            index: Index::default(),
            queue: Queue::new(seed ^ 2),
            failures: HashMap::new(),
            actors: BTreeMap::new(),
            plane: DataPlane::new(latencies.lag(), servers.clone(), seed ^ 3),
            latencies,
            admission,
            writes_events,
            scheduler: Scheduler::default(),
            kubelet,
            servers,
            reports: reports.clone(),
            invariants: Invariants::new(),
            checked: 0,
        }
    }

    /// Does all that is due at `now`; returns when the next thing is.
    pub(super) fn step(&mut self, store: &mut Store, now: Instant) -> Option<Instant> {
        loop {
            self.observe(store, now);
            let runtime = self.kubelet.advance(now);
            let plane = self.plane.advance(now);
            self.check_data_plane(store, now);
            self.take_reports(store, now);
            match self.queue.pop(now) {
                Some(task) => self.reconcile(store, task, now),
                None if runtime.is_some_and(|at| at <= now) => {}
                None => return [runtime, plane, self.queue.next()].into_iter().flatten().min(),
            }
        }
    }

    pub(super) fn pause(&mut self, controller: Controller) {
        self.queue.pause(controller);
    }

    pub(super) fn resume(&mut self, controller: Controller) {
        self.queue.resume(controller, Instant::now());
    }

    pub(super) fn set_latency(&mut self, controller: Controller, latency: Span) {
        self.latencies.set(controller, latency);
    }

    pub(super) fn add_runtime(&mut self, kind: RuntimeKind, runtime: Box<dyn Runtime>) {
        self.kubelet.add_runtime(kind, runtime);
    }

    pub(super) fn kubelet(&self) -> &Kubelet {
        &self.kubelet
    }

    pub(super) fn plane(&mut self) -> &mut DataPlane {
        &mut self.plane
    }

    pub(super) fn images(&mut self) -> &mut Images {
        &mut self.kubelet.images
    }

    pub(super) fn scheduler(&mut self) -> &mut Scheduler {
        &mut self.scheduler
    }

    pub(super) fn invariants(&mut self) -> &mut Invariants {
        &mut self.invariants
    }

    pub(super) fn servers(&self) -> &Servers {
        &self.servers
    }

    pub(super) fn accept_pods(&mut self, store: &Store, now: Instant) {
        self.scheduler.refusal = None;
        let queue = &mut self.queue;
        Scheduler::retry(store, &mut |place| {
            queue.push(Task { controller: Controller::Scheduler, place }, now);
        });
    }

    /// Reads the log: keeps the index, queues what has to be looked at.
    fn observe(&mut self, store: &Store, now: Instant) {
        if self.seen == store.revision() {
            return;
        }
        match store.since(self.seen) {
            Some(entries) if self.seen > 0 => {
                for entry in entries {
                    self.index.observe(entry);
                    self.dispatch(entry, store, now);
                    self.check(Some(entry), store, now);
                }
            }
            Some(_) | None => self.relist(store, now),
        }
        self.seen = store.revision();
    }

    /// Starts from what is there, as informers do: at first, and when the log was compacted.
    fn relist(&mut self, store: &Store, now: Instant) {
        self.index = Index::rebuild(store);
        let refusal = self.scheduler.refusal.take();
        self.scheduler = Scheduler { refusal, ..Scheduler::default() };
        let collections: Vec<_> = store.collections().cloned().collect();
        for collection in collections {
            for object in store.list(&collection, None) {
                let entry = Entry {
                    revision: store.revision(),
                    change: Change::Added,
                    collection: collection.clone(),
                    object: Arc::clone(object),
                    before: None,
                    actor: Arc::from(""),
                };
                self.dispatch(&entry, store, now);
            }
        }
    }

    fn dispatch(&mut self, entry: &Entry, store: &Store, now: Instant) {
        let Self { queue, latencies, index, scheduler, plane, .. } = self;
        let mut push = |controller: Controller, place: Place| {
            let wait = latencies.of(controller).draw(queue.random());
            queue.push(Task { controller, place }, now + wait);
        };
        deployment::observe(entry, store, &mut |place| push(Controller::Deployment, place));
        replica_set::observe(entry, store, &mut |place| push(Controller::ReplicaSet, place));
        endpoint_slice::observe(entry, store, index, &mut |place| {
            push(Controller::EndpointSlice, place);
        });
        stateful_set::observe(entry, store, &mut |place| push(Controller::StatefulSet, place));
        disruption::observe(entry, store, &mut |place| push(Controller::Disruption, place));
        quota::observe(entry, store, &mut |place| push(Controller::ResourceQuota, place));
        daemon_set::observe(entry, store, &mut |place| push(Controller::DaemonSet, place));
        garbage::observe(entry, index, &mut |place| push(Controller::GarbageCollector, place));
        namespace::observe(entry, &mut |place| push(Controller::Namespace, place));
        job::observe(entry, store, &mut |place| push(Controller::Job, place));
        scheduler.observe(entry, store, &mut |place| push(Controller::Scheduler, place));
        Kubelet::observe(entry, &mut |place| push(Controller::Kubelet, place));
        plane.observe(entry, store, now);
    }

    fn check(&mut self, write: Option<&Entry>, store: &Store, now: Instant) {
        if !self.invariants.is_idle() {
            let routes = self.plane.current();
            let moment = Moment::new(write, (store, &routes), now, &self.servers);
            self.invariants.check(&moment);
        }
    }

    fn check_data_plane(&mut self, store: &Store, now: Instant) {
        if !self.invariants.is_idle() && self.checked != self.servers.version() {
            self.checked = self.servers.version();
            self.check(None, store, now);
        }
    }

    fn take_reports(&mut self, store: &Store, now: Instant) {
        while let Some(report) = self.reports.receive() {
            let time = crate::controller::context::stamp(store.clock().at(now));
            if let Some(place) = self.kubelet.take(report, &time) {
                let wait = self.latencies.of(Controller::Kubelet).draw(self.queue.random());
                self.queue.push(Task { controller: Controller::Kubelet, place }, now + wait);
            }
        }
    }

    fn reconcile(&mut self, store: &mut Store, task: Task, now: Instant) {
        let name = task.controller.name();
        let actor = self.actors.entry(task.controller).or_insert_with(|| Arc::from(name));
        let mut context = Context {
            store,
            index: &self.index,
            admission: self.admission.as_deref(),
            actor,
            now,
            writes_events: self.writes_events,
        };
        let ctx = &mut context;
        let next = match task.controller {
            Controller::DaemonSet => daemon_set::reconcile(ctx, &task.place),
            Controller::Deployment => Next::after(deployment::reconcile(ctx, &task.place)),
            Controller::Disruption => disruption::reconcile(ctx, &task.place),
            Controller::EndpointSlice => endpoint_slice::reconcile(ctx, &task.place),
            Controller::GarbageCollector => garbage::reconcile(ctx, &task.place),
            Controller::Job => job::reconcile(ctx, &task.place),
            Controller::Namespace => namespace::reconcile(ctx, &task.place),
            Controller::StatefulSet => stateful_set::reconcile(ctx, &task.place),
            Controller::Kubelet => self.kubelet.reconcile(ctx, &task.place),
            Controller::ReplicaSet => replica_set::reconcile(ctx, &task.place),
            Controller::ResourceQuota => quota::reconcile(ctx, &task.place),
            Controller::Scheduler => self.scheduler.reconcile(ctx, &task.place),
        };
        match next {
            Next::After(wait) => {
                self.failures.remove(&task);
                self.queue.push(task, now + wait.max(Duration::from_millis(1)));
            }
            Next::Done => {
                self.failures.remove(&task);
            }
            Next::Retry => {
                let failures = self.failures.entry(task.clone()).or_default();
                let wait = FIRST_RETRY.saturating_mul(1 << (*failures).min(20)).min(LAST_RETRY);
                *failures += 1;
                self.queue.push(task, now + wait);
            }
        }
    }
}
