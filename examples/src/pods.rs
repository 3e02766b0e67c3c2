//! Watches the pods of a workload: how many of each image, and how long each took to be ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

/// What was seen of one pod.
#[derive(Clone, Debug)]
struct Seen {
    image: String,
    created: Instant,
    ready: Option<Instant>,
    terminating: bool,
    /// It was there before anyone looked: nobody knows how long it took.
    found: bool,
}

/// All pods that were seen, by name. Clones share the content.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    seen: Arc<Mutex<BTreeMap<String, Seen>>>,
}

/// Numbers of pods of one image.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Numbers {
    /// Pods that are not ready yet.
    pub starting: u32,
    /// Pods that are ready.
    pub ready: u32,
    /// Pods that were told to end.
    pub ending: u32,
}

impl Pods {
    /// Follows the pods with label `app=NAME` until dropped.
    pub async fn follow(self, client: Client, namespace: String, app: &str) {
        let pods: Api<Pod> = Api::namespaced(client, &namespace);
        let config = watcher::Config::default().labels(&format!("app={app}"));
        let mut events = std::pin::pin!(watcher(pods, config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(pod)) => self.note(&pod, false),
                Ok(watcher::Event::InitApply(pod)) => self.note(&pod, true),
                Ok(watcher::Event::Delete(pod)) => {
                    self.seen
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .remove(&pod.name_any());
                }
                // The watcher heals itself; a gap only makes the picture late.
                Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
            }
        }
    }

    fn note(&self, pod: &Pod, found: bool) {
        let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.clone());
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let ready = conditions
            .is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = seen.entry(pod.name_any()).or_insert_with(|| Seen {
            image: image.unwrap_or_default(),
            created: Instant::now(),
            ready: None,
            terminating: false,
            found,
        });
        if ready {
            entry.ready.get_or_insert_with(Instant::now);
        }
        entry.terminating = pod.metadata.deletion_timestamp.is_some();
    }

    /// Returns how many pods there are of an image.
    #[must_use]
    pub fn of(&self, image: &str) -> Numbers {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut numbers = Numbers::default();
        for pod in seen.values().filter(|pod| pod.image == image) {
            match pod {
                Seen { terminating: true, .. } => numbers.ending += 1,
                Seen { ready: Some(_), .. } => numbers.ready += 1,
                Seen { ready: None, .. } => numbers.starting += 1,
            }
        }
        numbers
    }

    /// Returns the time of the slowest chain of pod starts that a rolling update cannot avoid.
    ///
    /// With a surge of `s` the pod number `k` can only be made when pod `k - s` is available, so
    /// the chains are the pods `s` apart. Each link is what that pod really took from its creation
    /// to its readiness, and the seconds it must then stay ready. Pods that were there before
    /// started for something else.
    #[must_use]
    pub fn necessary_chain(&self, image: &str, surge: usize, min_ready: Duration) -> Duration {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut starts: Vec<(Instant, Duration)> = seen
            .values()
            .filter(|pod| pod.image == image && !pod.found)
            .filter_map(|pod| Some((pod.created, pod.ready?.duration_since(pod.created))))
            .collect();
        starts.sort();
        let mut ends: Vec<Duration> = Vec::new();
        for (index, (_, start)) in starts.into_iter().enumerate() {
            let before =
                index.checked_sub(surge.max(1)).map_or(Duration::ZERO, |other| ends[other]);
            ends.push(before + start + min_ready);
        }
        ends.into_iter().max().unwrap_or_default()
    }
}
