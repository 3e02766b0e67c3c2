//! The versioned object store: what etcd and the generic registry do together.
//!
//! Every write takes one number from a global revision, becomes the object's
//! `resourceVersion`, and is appended to a log from which watches are served.
//! Both the API and the controllers write through the same methods, so that
//! generation, uid and deletion behave alike for both.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::collection::Collection;
use crate::object::Object;

mod error;
mod history;
mod rules;
mod words;

pub use error::StoreError;
use rules::{
    check, counts_generation, drop_empty, finalizers_for, finalizers_of, grace, has_generation,
    is_held, is_held_in_spec, is_slice, keep,
};
pub use words::{Change, Deletion, Entry, Part, Place, Propagation};

/// How many log entries are kept; older watches get 410 Gone, as after an etcd compaction.
const LOG_LIMIT: usize = 20_000;

/// All objects of one cluster, with their history.
#[derive(Debug)]
pub struct Store {
    clock: Clock,
    random: fastrand::Rng,
    revision: u64,
    objects: BTreeMap<Collection, BTreeMap<Place, Arc<Value>>>,
    log: VecDeque<Entry>,
    /// The revisions in `log` per collection, so that a watch of one kind skips the rest.
    index: BTreeMap<Collection, VecDeque<u64>>,
    notify: watch::Sender<u64>,
    notify_one: BTreeMap<Collection, watch::Sender<u64>>,
    dry: bool,
}

impl Store {
    /// Creates an empty store whose uids and generated names come from `seed`.
    #[must_use]
    pub fn new(clock: Clock, seed: u64) -> Self {
        let (notify, _) = watch::channel(1);
        Self {
            clock,
            random: fastrand::Rng::with_seed(seed),
            revision: 1,
            objects: BTreeMap::new(),
            log: VecDeque::new(),
            index: BTreeMap::new(),
            notify,
            notify_one: BTreeMap::new(),
            dry: false,
        }
    }

    /// Returns the cluster's clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Returns the newest revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns a receiver that sees the newest revision after each write.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.notify.subscribe()
    }

    /// Returns a receiver that sees the revision of each write to one collection.
    #[must_use]
    pub fn subscribe_to(&mut self, collection: &Collection) -> watch::Receiver<u64> {
        let revision = self.revision;
        let sender = self.notify_one.entry(collection.clone());
        sender.or_insert_with(|| watch::channel(revision).0).subscribe()
    }

    /// Runs writes that are checked and returned as if done, but leave no trace.
    pub fn dry_run<R>(&mut self, writes: impl FnOnce(&mut Self) -> R) -> R {
        let random = self.random.clone();
        // What a rehearsal makes up is never seen again.
        self.random = fastrand::Rng::with_seed(self.random.u64(..) ^ 1);
        self.dry = true;
        let result = writes(self);
        self.dry = false;
        self.random = random;
        result
    }

    /// Returns the seeded random numbers.
    pub fn random(&mut self) -> &mut fastrand::Rng {
        &mut self.random
    }

    /// Returns the object at a place.
    #[must_use]
    pub fn get(&self, collection: &Collection, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.objects.get(collection)?.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Lists a collection in order of namespace and name; `None` lists all namespaces.
    pub fn list<'a>(
        &'a self,
        collection: &Collection,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Value>> + use<'a> {
        let start = (namespace.unwrap_or_default().to_owned(), String::new());
        let objects = self.objects.get(collection).into_iter();
        objects
            .flat_map(move |all| all.range(start.clone()..))
            .take_while(move |((place, _), _)| namespace.is_none_or(|wanted| wanted == place))
            .map(|(_, object)| object)
    }

    /// Lists the collections that have, or once had, objects.
    pub fn collections(&self) -> impl Iterator<Item = &Collection> {
        self.objects.keys()
    }

    /// Adds an object; sets uid, creationTimestamp, generation and resourceVersion.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`].
    pub fn create(
        &mut self,
        actor: &Arc<str>,
        collection: &Collection,
        object: Value,
    ) -> Result<Arc<Value>, StoreError> {
        self.create_with(actor, collection, object, |_| {})
    }

    /// As [`Store::create`]; `complete` adds what depends on the new object's uid.
    pub(crate) fn create_with(
        &mut self,
        actor: &Arc<str>,
        collection: &Collection,
        mut object: Value,
        complete: impl FnOnce(&mut Value),
    ) -> Result<Arc<Value>, StoreError> {
        let place = place(&object);
        if self.objects.get(collection).is_some_and(|all| all.contains_key(&place)) {
            return Err(StoreError::AlreadyExists {
                collection: collection.clone(),
                name: place.1,
            });
        }
        let uid = self.uid();
        object["metadata"]["uid"] = uid.into();
        object["metadata"]["creationTimestamp"] = self.clock.stamp().into();
        let has_spec = object.get("spec").is_some() || is_slice(collection);
        if has_generation(collection) && has_spec {
            object["metadata"]["generation"] = 1.into();
        }
        complete(&mut object);
        Ok(self.write(actor, collection, place, Some(object), None))
    }

    /// Replaces an object.
    ///
    /// A `metadata.resourceVersion` or `metadata.uid` in `object` is a precondition. A write that
    /// changes nothing takes no revision and returns the object as it is. An object that is
    /// terminating and has no finalizers left is removed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`], [`StoreError::UidMismatch`].
    pub fn update(
        &mut self,
        actor: &Arc<str>,
        collection: &Collection,
        part: Part,
        mut object: Value,
    ) -> Result<Arc<Value>, StoreError> {
        let place = place(&object);
        let old = self.existing(collection, &place)?;
        let seen = (object.revision() > 0).then(|| object.revision());
        let uid = (!object.uid().is_empty()).then(|| object.uid().to_owned());
        check(collection, &old, uid.as_deref(), seen)?;
        for key in [
            "uid",
            "creationTimestamp",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            keep(&mut object["metadata"], &old["metadata"], key);
        }
        keep(&mut object["metadata"], &old["metadata"], "generation");
        match part {
            Part::Main => {
                keep(&mut object, &old, "status");
                if has_generation(collection) && counts_generation(collection, &object, &old) {
                    object["metadata"]["generation"] = (old.generation() + 1).into();
                }
            }
            Part::Status => {
                keep(&mut object, &old, "spec");
                // pkg/registry/apps/deployment/strategy.go; other kinds let their labels be set.
                if collection == &Collection::DEPLOYMENTS {
                    keep(&mut object["metadata"], &old["metadata"], "labels");
                }
            }
        }
        if object == *old {
            return Ok(old);
        }
        // A pod in its grace period stays until the kubelet lets go of it.
        let no_grace = object.int("/metadata/deletionGracePeriodSeconds") == Some(0);
        if object.is_terminating() && !is_held(collection, &object) && no_grace {
            self.write(actor, collection, place, None, Some(old));
            // Watchers see it as it was; who took the last finalizer off sees what was written.
            drop_empty(&mut object["metadata"]);
            return Ok(Arc::new(object));
        }
        Ok(self.write(actor, collection, place, Some(object), Some(old)))
    }

    /// Changes an object in place; what `edit` leaves in `resourceVersion` is the precondition,
    /// which holds unless `edit` writes another.
    ///
    /// # Errors
    /// As [`Store::update`].
    pub fn modify(
        &mut self,
        actor: &Arc<str>,
        collection: &Collection,
        part: Part,
        (namespace, name): (&str, &str),
        edit: impl FnOnce(&mut Value),
    ) -> Result<Arc<Value>, StoreError> {
        let old = self.existing(collection, &(namespace.to_owned(), name.to_owned()))?;
        let mut object = (*old).clone();
        edit(&mut object);
        self.update(actor, collection, part, object)
    }

    /// Deletes an object: at once, or by marking it when it has finalizers or is a pod with grace.
    ///
    /// Returns the object as it is after the write. Grace 0 removes a pod at once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`], [`StoreError::UidMismatch`].
    pub fn delete(
        &mut self,
        actor: &Arc<str>,
        collection: &Collection,
        (namespace, name): (&str, &str),
        deletion: &Deletion,
    ) -> Result<Arc<Value>, StoreError> {
        let place = (namespace.to_owned(), name.to_owned());
        let old = self.existing(collection, &place)?;
        check(collection, &old, deletion.uid.as_deref(), deletion.revision)?;
        let grace = grace(collection, &old, deletion);
        let finalizers = finalizers_for(&old, deletion.propagation);
        if grace == 0 && finalizers.is_empty() && !is_held_in_spec(collection, &old) {
            return Ok(self.write(actor, collection, place, None, Some(old)));
        }
        let pending = old.int("/metadata/deletionGracePeriodSeconds");
        let same_finalizers = finalizers.iter().eq(finalizers_of(&old));
        if old.is_terminating() && same_finalizers && pending.is_none_or(|pending| pending <= grace)
        {
            return Ok(old);
        }
        let mut object = (*old).clone();
        if !same_finalizers {
            object["metadata"]["finalizers"] = Value::Array(finalizers);
        }
        if old.is_terminating() && pending.is_none_or(|pending| pending <= grace) {
            return Ok(self.write(actor, collection, place, Some(object), Some(old)));
        }
        let now = self.clock.now();
        let end =
            now.saturating_add(k8s_openapi::jiff::SignedDuration::from_secs(grace)).unwrap_or(now);
        object["metadata"]["deletionTimestamp"] =
            end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
        if collection == &Collection::NAMESPACES {
            object["status"]["phase"] = "Terminating".into();
        }
        object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        if old.generation() > 0 {
            object["metadata"]["generation"] = (old.generation() + 1).into();
        }
        Ok(self.write(actor, collection, place, Some(object), Some(old)))
    }

    fn existing(&self, collection: &Collection, place: &Place) -> Result<Arc<Value>, StoreError> {
        let object = self.objects.get(collection).and_then(|all| all.get(place));
        object.cloned().ok_or_else(|| StoreError::NotFound {
            collection: collection.clone(),
            name: place.1.clone(),
        })
    }

    fn write(
        &mut self,
        actor: &Arc<str>,
        collection: &Collection,
        place: Place,
        object: Option<Value>,
        before: Option<Arc<Value>>,
    ) -> Arc<Value> {
        if self.dry {
            return object.map(Arc::new).or(before).unwrap_or_default();
        }
        self.revision += 1;
        let all = self.objects.entry(collection.clone()).or_default();
        let (change, mut object) = match (object, &before) {
            (Some(object), None) => (Change::Added, object),
            (Some(object), Some(_)) => (Change::Modified, object),
            (None, Some(before)) => (Change::Deleted, (**before).clone()),
            (None, None) => (Change::Deleted, json!({"metadata": {}})),
        };
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        drop_empty(&mut object["metadata"]);
        let object = Arc::new(object);
        if change == Change::Deleted {
            all.remove(&place);
        } else {
            all.insert(place, Arc::clone(&object));
        }
        self.log.push_back(Entry {
            revision: self.revision,
            change,
            collection: collection.clone(),
            object: Arc::clone(&object),
            before,
            actor: Arc::clone(actor),
        });
        self.index.entry(collection.clone()).or_default().push_back(self.revision);
        if self.log.len() > LOG_LIMIT
            && let Some(oldest) = self.log.pop_front()
            && let Some(index) = self.index.get_mut(&oldest.collection)
        {
            index.pop_front();
        }
        self.notify.send_replace(self.revision);
        if let Some(one) = self.notify_one.get(collection) {
            one.send_replace(self.revision);
        }
        object
    }

    fn uid(&mut self) -> String {
        let bits = self.random.u128(..);
        // Version 4, variant 1 of RFC 9562.
        let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

fn place(object: &Value) -> Place {
    (object.namespace().to_owned(), object.name().to_owned())
}
