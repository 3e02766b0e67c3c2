//! The Kubernetes REST protocol over the [`Store`].
//!
//! Everything but watches is answered by synchronous code under one short lock; decoding,
//! answering and transport are apart, so that the same server is reached in-process as a
//! [`tower_service::Service`] and over HTTP by any server that runs such services.

mod admission;
mod apply;
mod authorize;
mod calls;
mod convert;
mod defaults;
mod definition;
mod delete;
mod discovery;
mod error;
mod eviction;
mod fields;
mod log;
mod managed;
#[cfg(feature = "serve")]
mod openapi;
mod patch;
#[cfg(feature = "serve")]
mod protobuf;
mod read;
mod reply;
mod request;
mod resource;
mod scale;
mod schema;
mod selector;
mod serve;
mod service;
mod shape;
mod status;
mod strategic;
mod structural;
mod table;
mod validate;
mod watch;
mod write;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use http::header;
use http::request::Parts;
use serde_json::{Value, json};

pub use admission::AdmissionChain;
pub(crate) use admission::quota::used as quota_used;
pub use authorize::{Authorizer, RoleError};
pub use calls::{CallCounts, CallKey};
pub use error::TransportError;
pub use reply::ApiBody;
pub(crate) use reply::refusal;
pub use request::{Freshness, Verb};
pub use resource::{Resource, Scope};
pub use status::{ApiStatus, Cause, Details, FieldError};
pub use watch::Gone;

use calls::CallLog;
pub(crate) use log::LogSource;
use reply::Reply;
use request::{Call, Route};
use resource::Resources;
use table::View;

use crate::collection::Collection;
use crate::fault::Faults;
use crate::store::Store;

const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// An API server over a [`Store`], as one client sees it.
///
/// Clones share the cluster; what the `with_` and `as_` methods set belongs to the handle and to
/// clones made of it later.
///
/// # Examples
/// ```
/// use std::sync::{Arc, Mutex};
/// use zdd_sim::{ApiServer, Clock, Store};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let store = Arc::new(Mutex::new(Store::new(Clock::system(), 1)));
/// let client = kube::Client::new(ApiServer::new(store), "default");
/// # drop(client);
/// # }
/// ```
#[derive(Clone)]
pub struct ApiServer {
    core: Arc<Core>,
    user: Arc<str>,
    authorizer: Authorizer,
    faults: Option<Faults>,
    gone: Gone,
}

/// What all clients share.
pub(crate) struct Core {
    store: Arc<Mutex<Store>>,
    resources: RwLock<Resources>,
    calls: CallLog,
    admission: AdmissionChain,
    /// Whether a definition is leaving that waits for the objects of its kind.
    empties: AtomicBool,
    /// Tells when a CustomResourceDefinition was written.
    definitions: Mutex<tokio::sync::watch::Receiver<u64>>,
    /// Where the logs of pods are; a server without a kubelet has none.
    logs: OnceLock<LogSource>,
    /// Whether requests are answered.
    up: tokio::sync::watch::Sender<bool>,
}

impl Core {
    fn resources(&self) -> RwLockReadGuard<'_, Resources> {
        self.resources.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who asks.
pub(crate) struct Caller {
    /// Written into the log: the user agent, or the user where the client names none.
    pub(crate) actor: Arc<str>,
    /// Who manages what is written, unless the request names someone.
    pub(crate) manager: String,
}

impl ApiServer {
    /// Serves a store; adds the namespaces that every cluster has.
    #[must_use]
    pub fn new(store: Arc<Mutex<Store>>) -> Self {
        let actor: Arc<str> = "kube-apiserver".into();
        {
            let mut store = lock(&store);
            for name in NAMESPACES {
                // An error says that an earlier server over this store has made it.
                let _ = store.create(&actor, &Collection::NAMESPACES, namespace(name));
            }
        }
        let mut definitions = lock(&store).subscribe_to(&definition::collection());
        // The store may hold some from before.
        definitions.mark_changed();
        let core = Arc::new(Core {
            store,
            resources: RwLock::new(Resources::builtin()),
            calls: CallLog::default(),
            admission: AdmissionChain::default(),
            empties: AtomicBool::new(false),
            definitions: Mutex::new(definitions),
            logs: OnceLock::new(),
            up: tokio::sync::watch::Sender::new(true),
        });
        Self {
            core,
            user: "kubernetes-admin".into(),
            authorizer: Authorizer::allow_all(),
            faults: None,
            gone: Gone::default(),
        }
    }

    /// Serves another resource, to all clients.
    #[must_use]
    pub fn with_resource(self, resource: Resource) -> Self {
        self.core.resources.write().unwrap_or_else(PoisonError::into_inner).add(resource);
        self
    }

    /// Acts as the named user.
    #[must_use]
    pub fn as_user(mut self, name: &str) -> Self {
        self.user = name.into();
        self
    }

    /// Allows this client what the authorizer allows.
    #[must_use]
    pub fn with_authorizer(mut self, authorizer: Authorizer) -> Self {
        self.authorizer = authorizer;
        self
    }

    /// Lets the requests of this client meet faults.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    /// Sets how a watch is refused whose revision is too old.
    #[must_use]
    pub fn with_gone(mut self, gone: Gone) -> Self {
        self.gone = gone;
        self
    }

    /// Tells where the logs of pods are; only the first source counts.
    pub(crate) fn serve_logs(&self, source: LogSource) {
        let _taken = self.core.logs.set(source);
    }

    /// Lets no request reach the server any more, and ends all watches, or serves again.
    pub(crate) fn serve(&self, up: bool) {
        self.core.up.send_replace(up);
    }

    /// Returns the store that is served.
    #[must_use]
    pub fn store(&self) -> &Arc<Mutex<Store>> {
        &self.core.store
    }

    /// Returns the admission of new objects; controllers of the same cluster ask it too.
    #[must_use]
    pub fn admission(&self) -> &AdmissionChain {
        &self.core.admission
    }

    /// Returns how often each request was made, by all clients.
    #[must_use]
    pub fn calls(&self) -> CallCounts {
        self.core.calls.snapshot()
    }

    /// Starts to count requests anew.
    pub fn reset_calls(&self) {
        self.core.calls.reset();
    }

    /// Answers a request; what is read may be of an older revision.
    fn answer(
        &self,
        route: Result<Route, ApiStatus>,
        parts: &Parts,
        body: &[u8],
        as_of: Option<u64>,
    ) -> Reply {
        let reply = route.and_then(|route| match route {
            Route::Objects(call) => {
                let mut reply = self.objects(&call, parts, body, as_of)?;
                if call.verb.writes() {
                    self.core.follow_definitions();
                }
                call.warn(reply.headers_mut());
                Ok(reply)
            }
            Route::Document(path) => {
                discovery::answer(&self.core.resources(), &path, &parts.headers)
            }
        });
        reply.unwrap_or_else(|status| refusal(&status))
    }

    fn objects(
        &self,
        call: &Call,
        parts: &Parts,
        body: &[u8],
        as_of: Option<u64>,
    ) -> Result<Reply, ApiStatus> {
        self.authorizer.check(&self.user, call)?;
        if call.resource.is_create_only() {
            return self.authorizer.review(call.resource.kind(), write::decode(body)?);
        }
        let core = &*self.core;
        let caller = self.caller(parts);
        let resource = &call.resource;
        let view = View::of(&parts.headers, &call.query)?;
        if call.verb == Verb::Watch {
            return watch::start(&core.store, call, (view, self.gone), as_of);
        }
        if (call.verb, call.subresource.as_deref()) == (Verb::Get, Some("log")) {
            return log::read(core, call);
        }
        let mut store = lock(&core.store);
        let written = match (call.verb, call.subresource.as_deref()) {
            (Verb::Create, Some("eviction")) => {
                return eviction::evict(&mut store, &caller, call, body);
            }
            (Verb::Create, Some("binding")) => {
                return eviction::bind(&mut store, &caller, call, body);
            }
            (_, Some("binding" | "eviction" | "log")) | (Verb::Create, Some(_)) => {
                return Err(ApiStatus::method_not_allowed());
            }
            (_, Some("scale")) => {
                return scale::answer(&mut store, &caller, call, &parts.headers, body);
            }
            (Verb::Get, _) => read::get(&store, call, as_of).map(|it| (http::StatusCode::OK, it)),
            (Verb::List, _) => {
                let page = read::list(&store, call, as_of)?;
                let now = store.clock().now();
                drop(store);
                return Ok(page.reply(resource, view, now));
            }
            (Verb::Create, _) => write::decode_as(resource, body)
                .and_then(|it| core.create(&mut store, &caller, call, it)),
            (Verb::Update, _) => write::decode_as(resource, body)
                .and_then(|it| core.replace(&mut store, &caller, call, it)),
            (Verb::Patch, _) => core.patch(&mut store, &caller, call, &parts.headers, body),
            (Verb::Delete, _) => return delete::one(&mut store, &caller, call, body),
            (Verb::DeleteCollection, _) => {
                return delete::all(&mut store, &caller, call, body);
            }
            (Verb::Watch, _) => Err(ApiStatus::method_not_allowed()),
        };
        let now = store.clock().now();
        drop(store);
        let (code, object) = written?;
        Ok(read::reply(code, resource, &object, (view, now)))
    }

    fn caller(&self, parts: &Parts) -> Caller {
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let manager = agent.and_then(|agent| agent.split('/').next()).unwrap_or("unknown");
        Caller {
            actor: agent.map_or_else(|| Arc::clone(&self.user), Arc::from),
            manager: manager.to_owned(),
        }
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Takes the lock; a panic of another holder does not make the data unusable, because every
/// change of the store is complete before anything can panic.
pub(crate) fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": name, "labels": { "kubernetes.io/metadata.name": name } },
        "spec": { "finalizers": ["kubernetes"] },
        "status": { "phase": "Active" },
    })
}
