//! The embedded cluster: the store with everything that acts on it.

mod builder;
mod engine;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::api::ApiServer;
use crate::collection::Collection;
use crate::controller::Controller;
use crate::dataplane::routes::Routes;
use crate::dataplane::traffic::{LoadSpec, Traffic};
use crate::image::{Image, Span};
use crate::invariant::{Invariant, Violation};
use crate::kubelet::Reports;
use crate::store::{Part, Store, StoreError};
use engine::Engine;

pub use builder::{ClusterBuilder, Latencies};

/// A Kubernetes cluster inside this process.
///
/// A handle: clones are the same cluster. Nothing moves unless someone drives it, by
/// [`Cluster::run`] or [`Cluster::step`]. All its delays are in tokio's time, so that with paused
/// time a rollout of minutes takes milliseconds, and the same seed gives the same history.
///
/// # Examples
/// ```
/// use zdd_sim::{Cluster, Collection};
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let cluster = Cluster::builder().seed(7).build();
/// let stop = CancellationToken::new();
/// let mut tasks = tokio::task::JoinSet::new();
/// let (driven, stopped) = (cluster.clone(), stop.clone());
/// tasks.spawn(async move { driven.run(stopped).await });
///
/// assert_eq!(cluster.with_store(|store| store.list(&Collection::NODES, None).count()), 3);
/// stop.cancel();
/// tasks.join_all().await;
/// # }
/// ```
#[derive(Clone)]
pub struct Cluster {
    store: Arc<Mutex<Store>>,
    engine: Arc<Mutex<Engine>>,
    reports: Reports,
    api: ApiServer,
}

impl Cluster {
    /// Starts the description of a cluster.
    #[must_use]
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// Returns the store, for an API in front of it.
    #[must_use]
    pub fn store(&self) -> Arc<Mutex<Store>> {
        Arc::clone(&self.store)
    }

    /// Works with the store under its lock.
    pub fn with_store<R>(&self, work: impl FnOnce(&mut Store) -> R) -> R {
        work(&mut lock(&self.store))
    }

    /// Drives the cluster until `stop` is cancelled.
    ///
    /// # Cancel safety
    /// Dropping the future stops the cluster between two steps; a later call goes on from there.
    pub async fn run(&self, stop: CancellationToken) {
        let mut changed = self.with_store(|store| store.subscribe());
        loop {
            changed.borrow_and_update();
            let next = self.step();
            let timer = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // The store lives as long as this handle: no error can come.
                _ = changed.changed() => {}
                () = self.reports.woken() => {}
                () = timer => {}
            }
        }
    }

    /// Returns a handle of the cluster's API server.
    ///
    /// Each handle is one client, to be given its own user, rights and faults; all count into the
    /// same calls, and what its admission refuses is refused to controllers too.
    #[must_use]
    pub fn api(&self) -> ApiServer {
        self.api.clone()
    }

    /// Returns a client whose default namespace is `default`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.api(), "default")
    }

    /// Does all that is due now; returns when the next thing is, unless a write comes first.
    #[must_use = "nothing happens after that time unless someone steps again"]
    pub fn step(&self) -> Option<Instant> {
        let mut engine = self.engine();
        engine.step(&mut lock(&self.store), Instant::now())
    }

    /// Lets a controller stand still; what it misses it does when it is resumed.
    pub fn pause(&self, controller: Controller) {
        self.engine().pause(controller);
    }

    /// Lets a paused controller go on.
    pub fn resume(&self, controller: Controller) {
        self.engine().resume(controller);
        self.reports.wake();
    }

    /// Lets the data plane stand still: it keeps the routes that it has.
    pub fn freeze_data_plane(&self) {
        self.engine().plane().freeze();
    }

    /// Lets a frozen data plane go on.
    pub fn thaw_data_plane(&self) {
        self.engine().plane().thaw();
        self.reports.wake();
    }

    /// Takes the API server away: requests fail as on a closed connection, and watches break off.
    /// Controllers, pods and the data plane go on.
    pub fn stop_api(&self) {
        self.api.serve(false);
    }

    /// Brings the API server back.
    pub fn start_api(&self) {
        self.api.serve(true);
    }

    /// Sets how long a change of an EndpointSlice takes to reach the data plane, from now on.
    pub fn set_data_plane_lag(&self, lag: impl Into<Span>) {
        self.engine().plane().set_lag(lag.into());
    }

    /// Sets how long after a change a controller looks at it, from now on.
    pub fn set_latency(&self, controller: Controller, latency: impl Into<Span>) {
        self.engine().set_latency(controller, latency.into());
    }

    /// Adds an image to the registry, or replaces one; pods that run keep what they have.
    pub fn push_image(&self, name: impl Into<String>, image: impl Into<Image>) {
        self.engine().images().insert(name, image);
    }

    /// Removes an image from the registry.
    pub fn remove_image(&self, name: &str) {
        self.engine().images().remove(name);
    }

    /// Returns the last lines of output of a pod's container, of all its runs; `None` when no such
    /// container has been started. Simulated containers print nothing.
    #[must_use]
    pub fn logs(&self, namespace: &str, pod: &str, container: &str) -> Option<Vec<String>> {
        let pod = (namespace.to_owned(), pod.to_owned());
        self.engine().kubelet().logs(&pod, container)
    }

    /// Lets no pod find a node until [`Cluster::accept_pods`], with this message.
    pub fn refuse_pods(&self, message: impl Into<String>) {
        self.engine().scheduler().refusal = Some(message.into());
    }

    /// Lets pods find nodes again.
    pub fn accept_pods(&self) {
        let mut engine = self.engine();
        engine.accept_pods(&lock(&self.store), Instant::now());
        self.reports.wake();
    }

    /// Returns the routes of the data plane, as they change.
    #[must_use]
    pub fn routes(&self) -> watch::Receiver<Arc<Routes>> {
        self.engine().plane().routes()
    }

    /// Starts simulated requests to a Service whose pods are simulated ones.
    #[must_use]
    pub fn send(&self, load: LoadSpec) -> Traffic {
        Traffic::start(self.engine().servers(), load, Instant::now())
    }

    /// Checks a rule at every event from now on.
    pub fn watch(&self, invariant: impl Invariant + 'static) {
        self.engine().invariants().watch(Box::new(invariant));
    }

    /// Returns the rules that were broken, in order of time; a hundred at most.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.engine().invariants().violations().to_vec()
    }

    /// Does what a HorizontalPodAutoscaler does when its metrics say so: sets `replicas`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn autoscale(
        &self,
        collection: &Collection,
        (namespace, name): (&str, &str),
        replicas: u32,
    ) -> Result<(), StoreError> {
        let actor: Arc<str> = Arc::from("horizontal-pod-autoscaler");
        self.with_store(|store| {
            let scale = |object: &mut Value| object["spec"]["replicas"] = replicas.into();
            store.modify(&actor, collection, Part::Main, (namespace, name), scale).map(drop)
        })
    }

    /// The engine's lock is taken before the store's, never after.
    fn engine(&self) -> MutexGuard<'_, Engine> {
        lock(&self.engine)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// A panic elsewhere has been reported there; the data are whole between two calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
