//! One stream of snapshots, merged from one watch per kind of object.
//!
//! The stream owns everything: it is polled, spawns nothing, and dropping it ends the watches. A
//! burst of changes is taken in as a whole before a snapshot is given.

mod informer;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::BoxStream;
use kube::Client;
use zdd_core::{ClusterError, Snapshot, Target, WorkloadKind};

use crate::objects::{self, Happening, Pod, ReplicaSet, Revision, Service, Slice, Workload};
use crate::requests::Requests;
use crate::resource::{self, Resource};
use crate::snapshot::{Parts, assemble, labels};
use informer::{Filter, Heard, Informer, Source};

/// Streams snapshots of a target.
pub(crate) fn snapshots(
    requests: &Requests,
    target: Target,
) -> BoxStream<'static, Result<Snapshot, ClusterError>> {
    let client = limited(requests);
    let source = Source { client, namespace: target.namespace.clone(), limit: requests.timeout() };
    Box::pin(Merged::new(source, target))
}

/// Limits the time until an answer begins. kube limits how long an established watch may be
/// silent, but not how long one may take to start.
fn limited(requests: &Requests) -> Client {
    let (client, limit) = (requests.client().clone(), requests.timeout());
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let client = client.clone();
        async move {
            match tokio::time::timeout(limit, client.send(request)).await {
                Ok(answer) => answer.map_err(tower::BoxError::from),
                Err(late) => Err(late.into()),
            }
        }
    });
    Client::new(service, namespace)
}

struct Merged {
    source: Source,
    target: Target,
    workload: Informer<Workload>,
    services: Informer<Service>,
    owned: Option<Owned>,
    slices: Option<Slices>,
    changed: bool,
    last: Option<Snapshot>,
}

/// What belongs to one incarnation of the workload.
struct Owned {
    uid: String,
    selector: String,
    history: History,
    pods: Informer<Pod>,
    /// Events about pods that could not be created; `None` where the status tells, or where they
    /// must not be read.
    refusals: Option<Informer<Happening>>,
}

impl Owned {
    fn new(source: &Source, target: &Target, uid: String, selector: String) -> Self {
        let filter = || Filter::Labels(selector.clone());
        let history = Resource::history(target.kind);
        let (history, refusals) = match target.kind {
            WorkloadKind::Deployment => {
                (History::ReplicaSets(Informer::new(source, history, filter())), None)
            }
            WorkloadKind::DaemonSet | WorkloadKind::StatefulSet => {
                let fields = Filter::Fields(objects::refusals_of(&uid));
                let refusals = Informer::new(source, Resource::EVENTS, fields);
                (History::Revisions(Informer::new(source, history, filter())), Some(refusals))
            }
        };
        let pods = Informer::new(source, Resource::PODS, filter());
        Self { uid, selector, history, pods, refusals }
    }

    fn is_ready(&self) -> bool {
        let history = match &self.history {
            History::ReplicaSets(sets) => sets.is_ready(),
            History::Revisions(revisions) => revisions.is_ready(),
        };
        history
            && self.pods.is_ready()
            && self.refusals.as_ref().is_none_or(|refusals| refusals.is_ready())
    }

    /// Hears of pods that could not be created; without the permission it stops listening.
    fn hear_refusals(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let Some(refusals) = &mut self.refusals else { return Poll::Pending };
        let heard = refusals.poll(cx);
        if let Poll::Ready(Heard::Failure(ClusterError::Forbidden { .. })) = heard {
            self.refusals = None;
            return Poll::Ready(Heard::Change);
        }
        heard
    }
}

enum History {
    ReplicaSets(Informer<ReplicaSet>),
    Revisions(Informer<Revision>),
}

/// The slices of the Services that select the target's pods.
struct Slices {
    services: BTreeSet<String>,
    informer: Informer<Slice>,
}

impl Merged {
    fn new(source: Source, target: Target) -> Self {
        let field = Filter::Name(target.name.clone());
        let workload = Informer::new(&source, resource::of(&target), field);
        let services = Informer::new(&source, Resource::SERVICES, Filter::All);
        Self {
            source,
            target,
            workload,
            services,
            owned: None,
            slices: None,
            changed: false,
            last: None,
        }
    }

    /// Takes in what one round of polling brings; returns whether there was anything.
    fn hear(&mut self, cx: &mut Context<'_>) -> Result<bool, ClusterError> {
        let mut heard = vec![self.workload.poll(cx), self.services.poll(cx)];
        if let Some(owned) = &mut self.owned {
            heard.push(owned.pods.poll(cx));
            heard.push(owned.hear_refusals(cx));
            heard.push(match &mut owned.history {
                History::ReplicaSets(sets) => sets.poll(cx),
                History::Revisions(revisions) => revisions.poll(cx),
            });
        }
        if let Some(slices) = &mut self.slices {
            heard.push(slices.informer.poll(cx));
        }
        let mut news = false;
        let mut failed = None;
        for heard in heard {
            match heard {
                Poll::Pending => {}
                Poll::Ready(Heard::Change) => news = true,
                Poll::Ready(Heard::Failure(error)) => failed = failed.or(Some(error)),
            }
        }
        self.changed |= news;
        match failed {
            Some(error) => Err(error),
            None => Ok(news),
        }
    }

    /// Watches what belongs to the workload as it is now.
    fn follow(&mut self) {
        let Some(workload) = self.workload.objects().next() else {
            (self.owned, self.slices) = (None, None);
            return;
        };
        let (uid, selector) = (&workload.meta.uid, workload.body.spec.selector.query());
        let current = |owned: &Owned| owned.uid == *uid && owned.selector == selector;
        if !self.owned.as_ref().is_some_and(current) {
            let (source, target) = (&self.source, &self.target);
            self.owned = Some(Owned::new(source, target, uid.clone(), selector));
        }
        if !self.services.is_ready() {
            return;
        }
        let labels = labels(&workload.body);
        let selecting =
            self.services.objects().filter(|service| service.body.spec.selects(&labels));
        let names: BTreeSet<String> = selecting.map(|service| service.meta.name.clone()).collect();
        if names.is_empty() {
            self.slices = None;
        } else if self.slices.as_ref().is_none_or(|slices| slices.services != names) {
            let filter = Filter::Labels(objects::slices_of(names.iter().map(String::as_str)));
            let informer = Informer::new(&self.source, Resource::ENDPOINT_SLICES, filter);
            self.slices = Some(Slices { services: names, informer });
        }
    }

    /// Tells whether all lists are there that the workload as it is needs.
    fn is_ready(&self) -> bool {
        let owned = self.owned.as_ref().is_none_or(Owned::is_ready);
        let slices = self.slices.as_ref().is_none_or(|slices| slices.informer.is_ready());
        self.workload.is_ready() && self.services.is_ready() && owned && slices
    }

    fn snapshot(&self) -> Snapshot {
        let mut parts = Parts {
            workload: self.workload.objects().next(),
            services: self.services.objects().collect(),
            ..Parts::default()
        };
        if let Some(owned) = &self.owned {
            parts.pods = owned.pods.objects().collect();
            parts.refusals = owned.refusals.iter().flat_map(Informer::objects).collect();
            match &owned.history {
                History::ReplicaSets(sets) => parts.replica_sets = sets.objects().collect(),
                History::Revisions(revisions) => parts.revisions = revisions.objects().collect(),
            }
        }
        if let Some(slices) = &self.slices {
            parts.slices = slices.informer.objects().collect();
        }
        assemble(&self.target, &parts)
    }
}

impl Stream for Merged {
    type Item = Result<Snapshot, ClusterError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match this.hear(cx) {
                Ok(true) => this.follow(),
                Ok(false) => break,
                Err(error) => {
                    // What else came in this round is kept, and given with the next snapshot.
                    this.follow();
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        if this.changed && this.is_ready() {
            this.changed = false;
            let snapshot = this.snapshot();
            if this.last.as_ref() != Some(&snapshot) {
                this.last = Some(snapshot.clone());
                return Poll::Ready(Some(Ok(snapshot)));
            }
        }
        Poll::Pending
    }
}
