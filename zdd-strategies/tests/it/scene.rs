//! Builds observations: a scene is a workload in some state at some time.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use zdd_core::{
    Amount, Baseline, Change, Completion, Decision, DeploymentStrategy, Entry, Epoch, Event,
    GateRecords, Observation, Pod, RevisionHash, Service, Settings, Snapshot, State, Step, Target,
    Template, Tracker, Trouble, Uid, Version, Workload, WorkloadKind, invariant, later,
};

pub(crate) fn template(image: &str) -> Template {
    Template::new(json!({ "image": image }))
}

/// A rollout from `web:1` to `web:2`, somewhere on its way.
pub(crate) struct Scene {
    pub(crate) state: State,
    pub(crate) snapshot: Snapshot,
    pub(crate) tracker: Tracker,
    pub(crate) gates: GateRecords,
    pub(crate) now: Timestamp,
}

impl Scene {
    /// Nothing has happened yet.
    pub(crate) fn new(kind: WorkloadKind, replicas: u32) -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut settings = Settings::default();
        if kind == WorkloadKind::StatefulSet {
            settings.partition = Some(0);
        } else {
            settings.max_surge = Some("25%".parse().unwrap());
            settings.max_unavailable = Some("25%".parse().unwrap());
        }
        settings.min_ready_seconds = Some(0);
        let start = serde_json::from_value(json!({
            "rollout": "r1",
            "target": Target::new(kind, "default", "web"),
            "uid": "uid-1",
            "strategy": "rolling",
            "change": Change::image("app", "web:2"),
            "template": template("web:2"),
            "baseline": Baseline::new(template("web:1"), settings.clone()),
        }))
        .unwrap();
        let entry = Entry::new(now, Epoch::new(1), Event::Started(Box::new(start)));
        let mut workload =
            Workload::new(Uid::new("uid-1"), Version::new("1"), 1, template("web:1"));
        workload.replicas = replicas;
        workload.settings = settings;
        let mut snapshot = Snapshot::default();
        snapshot.workload = Some(workload);
        let mut scene = Self {
            state: State::begin(&entry).unwrap(),
            snapshot,
            tracker: Tracker::new(now),
            gates: GateRecords::new(),
            now,
        };
        scene.pods(replicas, 0);
        scene
    }

    pub(crate) fn deployment(replicas: u32) -> Self {
        Self::new(WorkloadKind::Deployment, replicas)
    }

    pub(crate) fn workload(&mut self) -> &mut Workload {
        self.snapshot.workload.as_mut().unwrap()
    }

    /// The template was set, with the strategy's settings.
    pub(crate) fn set_by(mut self, strategy: &impl DeploymentStrategy) -> Self {
        let Decision::Apply(step) = self.ask(strategy) else { panic!("nothing to set") };
        self.perform(step);
        self
    }

    /// Goes through the journal and the cluster as the driver does.
    pub(crate) fn perform(&mut self, step: Step) {
        self.record(Event::Intended(step.clone()));
        let workload = self.workload();
        workload.generation += 1;
        match step {
            Step::DeletePod { uid, .. } => self.snapshot.pods.retain(|pod| pod.uid != uid),
            Step::Pause => workload.paused = true,
            Step::Resume => workload.paused = false,
            Step::SetPartition { partition } => workload.settings.partition = Some(partition),
            Step::RestoreSettings { settings } => {
                workload.settings = settings.or(&workload.settings);
                // The controller has not looked at it yet.
                workload.completion = Completion::Unobserved;
            }
            Step::SetTemplate { template, settings } => {
                workload.template = template;
                workload.settings = settings.or(&workload.settings);
            }
        }
        self.record(Event::Verified);
    }

    pub(crate) fn record(&mut self, event: Event) {
        self.state.apply(&Entry::new(self.now, Epoch::new(1), event)).unwrap();
    }

    /// That many old and new pods, all ready, and the endpoints follow.
    pub(crate) fn pods(&mut self, old: u32, new: u32) {
        let pod = |image: &str, index: u32| {
            let name = format!("{image}-{index}");
            let mut pod = Pod::new(Uid::new(&name), &name, Some(RevisionHash::new(image)));
            pod.ready = true;
            pod
        };
        let old_pods = (0..old).map(|index| pod("web:1", index));
        self.snapshot.pods = old_pods.chain((0..new).map(|index| pod("web:2", index))).collect();
        self.settle();
    }

    /// Brings counts, completion and endpoints in line with the pods.
    pub(crate) fn settle(&mut self) {
        let image = self.workload().template.as_value()["image"].as_str().unwrap().to_owned();
        self.workload().revision = Some(RevisionHash::new(image));
        let ready: BTreeSet<Uid> = self
            .snapshot
            .pods
            .iter()
            .filter(|pod| pod.ready && !pod.terminating)
            .map(|pod| pod.uid.clone())
            .collect();
        let total = u32::try_from(self.snapshot.pods.len()).unwrap();
        let updated = u32::try_from(self.snapshot.updated().count()).unwrap();
        let available = u32::try_from(ready.len()).unwrap();
        self.snapshot.services = vec![Service::new("web", ready)];
        let workload = self.workload();
        workload.counts.total = total;
        workload.counts.updated = updated;
        workload.counts.ready = available;
        workload.counts.available = available;
        let complete = updated == workload.replicas && total == updated && available == total;
        workload.completion = if complete {
            Completion::Complete
        } else {
            Completion::Waiting { what: format!("{updated} of {} updated", workload.replicas) }
        };
        self.tracker.note(&self.snapshot, self.now);
    }

    /// A new pod that does not run.
    pub(crate) fn sick_pod(&mut self, trouble: Trouble) {
        let mut pod = Pod::new(Uid::new("sick"), "sick", self.workload().revision.clone());
        pod.trouble = Some(trouble);
        self.snapshot.pods.push(pod);
        self.settle();
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now = later(self.now, Duration::from_secs(seconds));
        self.tracker.note(&self.snapshot, self.now);
    }

    pub(crate) fn seen(&self) -> Observation<'_> {
        Observation::new(&self.state, &self.snapshot, &self.tracker, &self.gates, self.now)
    }

    /// Asks the strategy; a step that the invariants refuse fails the test.
    #[track_caller]
    pub(crate) fn ask(&self, strategy: &impl DeploymentStrategy) -> Decision {
        let decision = strategy.next(&self.seen());
        if let Decision::Apply(step) = &decision {
            invariant::check(step, &self.seen()).unwrap();
        }
        decision
    }

    /// Lets the driver act on decisions that need nobody else, and the controller look at what was
    /// written; returns the next other decision.
    #[track_caller]
    pub(crate) fn settle_with(&mut self, strategy: &impl DeploymentStrategy) -> Decision {
        let mut decisions = 0;
        loop {
            decisions += 1;
            assert!(decisions < 50, "the strategy goes round in circles");
            let decision = self.ask(strategy);
            if matches!(decision, Decision::Wait(_))
                && self.workload().completion == Completion::Unobserved
            {
                self.settle();
                continue;
            }
            match decision {
                Decision::Reach(milestone) => self.record(Event::Reached(milestone)),
                Decision::Apply(step) => self.perform(step),
                decision @ (Decision::Finish | Decision::RollBack(_) | Decision::Wait(_)) => {
                    return decision;
                }
            }
        }
    }
}

pub(crate) fn count(pods: u32) -> Option<Amount> {
    Some(Amount::Count(pods))
}
