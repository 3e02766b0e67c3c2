//! Keeps the present objects of one kind, by a list and a watch.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::core::DynamicObject;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::time::Sleep;
use zdd_core::ClusterError;

use crate::failure::{Effect, Failure, What};
use crate::objects::Object;
use crate::observe::understand;
use crate::requests::{answered, classify};
use crate::resource::Resource;

/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After so many failures in a row the watch is made anew, with a fresh list: kube's own watcher
/// never gives up a revision that the server refuses to start from.
const PATIENCE: u32 = 3;

/// Where objects come from.
pub(super) struct Source {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) limit: Duration,
}

/// Which objects.
#[derive(Clone)]
pub(super) enum Filter {
    All,
    Fields(String),
    Labels(String),
    Name(String),
}

/// What a poll brought.
pub(super) enum Heard {
    Change,
    Failure(ClusterError),
}

type Events = BoxStream<'static, Result<Event<DynamicObject>, watcher::Error>>;
type Objects<B> = BTreeMap<String, Object<B>>;

/// The present objects of one kind.
pub(super) struct Informer<B> {
    api: Api<DynamicObject>,
    resource: Resource,
    namespace: String,
    config: watcher::Config,
    limit: Duration,
    events: Events,
    objects: Objects<B>,
    /// A list that is under way; the objects from before stay until it is complete.
    listing: Option<Objects<B>>,
    is_ready: bool,
    failures: u32,
    /// Ends the pause after a failure.
    pause: Option<Pin<Box<Sleep>>>,
    /// Ends a list that makes no progress.
    overdue: Option<Pin<Box<Sleep>>>,
}

impl<B: DeserializeOwned + PartialEq> Informer<B> {
    pub(super) fn new(source: &Source, resource: Resource, filter: Filter) -> Self {
        let config = watcher::Config::default();
        let config = match filter {
            Filter::All => config,
            Filter::Fields(selector) => config.fields(&selector),
            Filter::Labels(selector) => config.labels(&selector),
            Filter::Name(name) => config.fields(&format!("metadata.name={name}")),
        };
        let description = resource.describe();
        let api = Api::namespaced_with(source.client.clone(), &source.namespace, &description);
        Self {
            events: watcher(api.clone(), config.clone()).boxed(),
            api,
            resource,
            namespace: source.namespace.clone(),
            config,
            limit: source.limit,
            objects: Objects::new(),
            listing: None,
            is_ready: false,
            failures: 0,
            pause: None,
            overdue: Some(Box::pin(tokio::time::sleep(source.limit))),
        }
    }

    /// Tells whether a first list is complete.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = &Object<B>> {
        self.objects.values()
    }

    /// Takes in one change. To be called until it is pending.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let event = match self.events.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => event,
                Poll::Ready(None) => {
                    self.restart();
                    continue;
                }
                Poll::Pending => {
                    let Some(overdue) = &mut self.overdue else { return Poll::Pending };
                    ready!(overdue.as_mut().poll(cx));
                    return Poll::Ready(self.overdue());
                }
            };
            match event.map_err(|error| self.failed(error)) {
                Ok(event) => match self.take(event) {
                    Ok(true) => return Poll::Ready(Heard::Change),
                    Ok(false) => {}
                    Err(error) => return Poll::Ready(Heard::Failure(error)),
                },
                Err(Some(error)) => return Poll::Ready(Heard::Failure(error)),
                Err(None) => {}
            }
        }
    }

    /// Takes an event in; tells whether it changed anything.
    fn take(&mut self, event: Event<DynamicObject>) -> Result<bool, ClusterError> {
        match event {
            Event::Init => {
                self.listing = Some(Objects::new());
                self.overdue = Some(Box::pin(tokio::time::sleep(self.limit)));
                Ok(false)
            }
            Event::InitApply(object) => {
                let object = self.view(object)?;
                self.overdue = Some(Box::pin(tokio::time::sleep(self.limit)));
                if let Some(listing) = &mut self.listing {
                    listing.insert(object.meta.name.clone(), object);
                }
                Ok(false)
            }
            Event::InitDone => {
                self.overdue = None;
                self.failures = 0;
                let listed = self.listing.take().unwrap_or_default();
                let changed = !self.is_ready || listed != self.objects;
                (self.objects, self.is_ready) = (listed, true);
                Ok(changed)
            }
            Event::Apply(object) => {
                self.failures = 0;
                let object = self.view(object)?;
                let changed = self.objects.get(&object.meta.name) != Some(&object);
                self.objects.insert(object.meta.name.clone(), object);
                Ok(changed)
            }
            Event::Delete(object) => {
                self.failures = 0;
                let name = object.metadata.name.unwrap_or_default();
                Ok(self.objects.remove(&name).is_some())
            }
        }
    }

    fn view(&self, object: DynamicObject) -> Result<Object<B>, ClusterError> {
        let mut object = understand::<B>(self.resource, object)?;
        // Snapshots need none, and some are large.
        object.meta.annotations.clear();
        Ok(object)
    }

    /// Pauses after a failure; returns what there is to tell.
    fn failed(&mut self, error: watcher::Error) -> Option<ClusterError> {
        self.back_off();
        let (verb, what) = match error {
            watcher::Error::InitialListFailed(error) => ("list", classify(error)),
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
                ("watch", classify(error))
            }
            watcher::Error::WatchError(status) => ("watch", answered(*status)),
            // The server does not keep to the protocol; a fresh list is all that can be done.
            watcher::Error::NoResourceVersion => return None,
        };
        let failure = self.failure(verb, what);
        // A revision that is too old is part of normal life: a fresh list follows.
        (!failure.has_code(http::StatusCode::GONE)).then(|| failure.into())
    }

    /// Gives a list up that makes no progress.
    fn overdue(&mut self) -> Heard {
        self.back_off();
        self.restart();
        Heard::Failure(self.failure("list", What::Late(self.limit)).into())
    }

    fn back_off(&mut self) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.pause = Some(Box::pin(tokio::time::sleep(pause)));
        self.failures = self.failures.saturating_add(1);
        if self.failures.is_multiple_of(PATIENCE) {
            self.restart();
        }
    }

    /// Starts from a fresh list. What is known stays until that list is complete.
    fn restart(&mut self) {
        self.events = watcher(self.api.clone(), self.config.clone()).boxed();
        self.listing = None;
        self.overdue = None;
    }

    fn failure(&self, verb: &'static str, what: What) -> Failure {
        Failure { verb, object: self.resource.all(&self.namespace), effect: Effect::Read, what }
    }
}
