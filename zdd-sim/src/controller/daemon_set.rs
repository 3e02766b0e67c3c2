//! The DaemonSet controller (pkg/controller/daemon): one pod per node.

mod rolling;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::collection::Collection;
use crate::controller::Next;
use crate::controller::context::{Context, Note};
use crate::controller::history::{self, History, Keeper};
use crate::controller::meta::{controller_name, controller_ref, suffix};
use crate::controller::pods::{
    from_template, has_ended, is_available, is_ready, next_available, pinned_node,
};
use crate::object::Object;
use crate::store::{Change, Entry, Place, Store};

const HASH_LABEL: &str = "controller-revision-hash";
/// Counts the templates of a DaemonSet; the API server keeps it.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Tells which DaemonSets have to be looked at after a write.
pub(crate) fn observe(entry: &Entry, store: &Store, push: &mut dyn FnMut(Place)) {
    let object = &entry.object;
    if entry.collection == Collection::DAEMON_SETS {
        if entry.change != Change::Deleted {
            push((object.namespace().to_owned(), object.name().to_owned()));
        }
    } else if entry.collection == Collection::PODS {
        if let Some(name) = controller_name(object, "DaemonSet") {
            push((object.namespace().to_owned(), name.to_owned()));
        }
    } else if entry.collection == Collection::NODES {
        for set in store.list(&Collection::DAEMON_SETS, None) {
            push((set.namespace().to_owned(), set.name().to_owned()));
        }
    }
}

/// Looks at one DaemonSet.
pub(crate) fn reconcile(ctx: &mut Context<'_>, place: &Place) -> Next {
    let Some(set) = ctx.get(&Collection::DAEMON_SETS, place) else { return Next::Done };
    if set.is_terminating() {
        return Next::Done;
    }
    let owner = controller_ref(&set, "apps/v1", "DaemonSet");
    let mut history = History::of(ctx, Keeper::DaemonSet, &set, &owner);
    let Some(revision) = history.update(ctx, &set, &owner) else { return Next::Retry };
    let pods = ctx.claim(&Collection::PODS, &set, &owner);
    let min_ready = set.int("/spec/minReadySeconds").unwrap_or_default();
    let mut work = Work {
        hash: history::hash(&revision).to_owned(),
        nodes: nodes(ctx, &set, pods),
        set,
        owner,
        min_ready,
        failure: None,
    };
    work.manage(ctx);
    if work.failure.is_none() && work.set["spec"]["updateStrategy"]["type"] != "OnDelete" {
        work.roll(ctx);
    }
    work.write_status(ctx);
    history.truncate(ctx, &work.set, |revision| {
        let hash = history::hash(revision);
        hash == work.hash || work.pods().any(|pod| pod.label(HASH_LABEL) == Some(hash))
    });
    if work.failure.is_some() {
        return Next::Retry;
    }
    Next::after(next_available(work.pods().map(|pod| &**pod), min_ready, ctx.time()))
}

/// One DaemonSet with its pods by node, during one look at it.
#[derive(Debug)]
struct Work {
    set: Arc<Value>,
    owner: Value,
    hash: String,
    min_ready: i64,
    nodes: BTreeMap<String, Node>,
    failure: Option<String>,
}

/// A node with the DaemonSet's pods on it, the oldest first.
#[derive(Debug, Default)]
struct Node {
    should_run: bool,
    pods: Vec<Arc<Value>>,
}

fn nodes(ctx: &Context<'_>, set: &Value, pods: Vec<Arc<Value>>) -> BTreeMap<String, Node> {
    let selector = &set["spec"]["template"]["spec"]["nodeSelector"];
    let fits = |node: &Value| {
        let terms = selector.as_object().into_iter().flatten();
        terms.into_iter().all(|(key, value)| node["metadata"]["labels"][key] == *value)
    };
    let all = ctx.store.list(&Collection::NODES, None);
    // Cordoned and unready nodes run daemons too: their pods tolerate both.
    let named =
        all.map(|node| (node.name().to_owned(), Node { should_run: fits(node), pods: Vec::new() }));
    let mut nodes: BTreeMap<String, Node> = named.collect();
    for pod in pods {
        if has_ended(&pod) && pod.is_terminating() {
            continue;
        }
        if let Some(name) = pod.text("/spec/nodeName").or_else(|| pinned_node(&pod)) {
            nodes.entry(name.to_owned()).or_default().pods.push(pod);
        }
    }
    for node in nodes.values_mut() {
        node.pods.sort_by(|a, b| age(a).cmp(&age(b)));
    }
    nodes
}

fn age(pod: &Value) -> (&str, &str) {
    (pod.text("/metadata/creationTimestamp").unwrap_or_default(), pod.name())
}

impl Work {
    fn pods(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.nodes.values().flat_map(|node| &node.pods)
    }

    fn is_new(&self, pod: &Value) -> bool {
        pod.label(HASH_LABEL) == Some(&self.hash)
    }

    fn is_available(&self, ctx: &Context<'_>, pod: &Value) -> bool {
        is_available(pod, self.min_ready, ctx.time()) && !pod.is_terminating()
    }

    /// Gives each node its pod, and takes away the pods that are too many, failed, or on a node
    /// that should have none.
    fn manage(&mut self, ctx: &mut Context<'_>) {
        let surges = self.limits().0 > 0;
        let mut create = Vec::new();
        let mut delete = Vec::new();
        for (name, node) in &self.nodes {
            let alive = || node.pods.iter().filter(|pod| !pod.is_terminating());
            let failed = alive().filter(|pod| has_ended(pod));
            delete.extend(failed.cloned());
            let running: Vec<_> = alive().filter(|pod| !has_ended(pod)).collect();
            if !node.should_run {
                delete.extend(running.into_iter().cloned());
            } else if running.is_empty() {
                // A pod that still terminates holds the node, unless the update may surge.
                if surges || node.pods.iter().all(|pod| has_ended(pod)) {
                    create.push(name.clone());
                }
            } else if surges {
                delete.extend(self.superfluous(ctx, &running));
            } else {
                delete.extend(running.into_iter().skip(1).cloned());
            }
        }
        self.carry_out(ctx, create, delete);
    }

    /// With surge a node may have one old and one new pod: the old one until the new one is
    /// available.
    fn superfluous(&self, ctx: &Context<'_>, running: &[&Arc<Value>]) -> Vec<Arc<Value>> {
        let (new, old): (Vec<&Arc<Value>>, Vec<&Arc<Value>>) =
            running.iter().copied().partition(|pod| self.is_new(pod));
        let ready = new.iter().any(|pod| self.is_available(ctx, pod) && is_ready(pod));
        let old = old.into_iter().skip(usize::from(!ready));
        old.chain(new.into_iter().skip(1)).cloned().collect()
    }

    fn carry_out(&mut self, ctx: &mut Context<'_>, create: Vec<String>, delete: Vec<Arc<Value>>) {
        for node in create {
            self.create(ctx, &node);
        }
        for pod in delete {
            if let Err(error) = ctx.delete(&Collection::PODS, &pod, None) {
                self.failure = Some(error.to_string());
                continue;
            }
            let message = format!("Deleted pod: {}", pod.name());
            ctx.event(&self.set, Note::Normal("SuccessfulDelete"), &message);
        }
    }

    fn create(&mut self, ctx: &mut Context<'_>, node: &str) {
        let base = format!("{}-", self.set.name());
        let name = format!("{base}{}", suffix(ctx.store.random()));
        let template = &self.set["spec"]["template"];
        let mut pod = from_template(&self.set, template, &name, &self.owner);
        pod["metadata"]["generateName"] = base.into();
        pod["metadata"]["labels"][HASH_LABEL] = self.hash.clone().into();
        if let Some(generation) = self.set["metadata"]["annotations"].get(TEMPLATE_GENERATION) {
            pod["metadata"]["labels"]["pod-template-generation"] = generation.clone();
        }
        pin(&mut pod["spec"], node);
        match ctx.create(&Collection::PODS, pod) {
            Ok(pod) => {
                let message = format!("Created pod: {}", pod.name());
                ctx.event(&self.set, Note::Normal("SuccessfulCreate"), &message);
                if let Some(node) = self.nodes.get_mut(node) {
                    node.pods.push(pod);
                }
            }
            Err(error) => {
                let message = format!("Error creating: {error}");
                ctx.event(&self.set, Note::Warning("FailedCreate"), &message);
                self.failure = Some(error.to_string());
            }
        }
    }
}

/// Leaves one node to the scheduler, and lets the pod run there whatever befalls the node.
fn pin(spec: &mut Value, node: &str) {
    let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for (condition, effect) in [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ] {
        let key = format!("node.kubernetes.io/{condition}");
        tolerations.push(json!({"key": key, "operator": "Exists", "effect": effect}));
    }
    spec["tolerations"] = tolerations.into();
}
