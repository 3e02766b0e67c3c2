//! What becomes of a rollout whose lease is lost, or whose journal someone deletes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use zdd_core::{
    Epoch, InMemoryJournal, Journal, JournalError, Lease, LeaseError, Log, Outcome, Rollout,
    RolloutError, RolloutId, Target, Tenure, Version,
};

use crate::ideal::{Ideal, template};

/// A lease that is lost when a test says so.
#[derive(Clone)]
struct Shaky {
    held: Arc<Mutex<Held>>,
    /// One permit for each time that it may be taken.
    free: Arc<Semaphore>,
}

#[derive(Default)]
struct Held {
    epoch: u64,
    lost: CancellationToken,
    /// Who has it in our place.
    other: Option<&'static str>,
    /// Lost as soon as it was taken.
    hopeless: bool,
}

impl Shaky {
    fn new() -> Self {
        Self { held: Arc::default(), free: Arc::new(Semaphore::new(1000)) }
    }

    /// The lease of the driver after the one with that epoch.
    fn after(epoch: u64) -> Self {
        let lease = Self::new();
        lease.held.lock().unwrap().epoch = epoch;
        lease
    }

    fn lose(&self) {
        self.held.lock().unwrap().lost.cancel();
    }

    fn epoch(&self) -> u64 {
        self.held.lock().unwrap().epoch
    }
}

#[async_trait]
impl Lease for Shaky {
    async fn acquire(&self, target: &Target) -> Result<Tenure, LeaseError> {
        self.free.acquire().await.unwrap().forget();
        let mut held = self.held.lock().unwrap();
        if let Some(holder) = held.other {
            let holder = holder.to_owned();
            return Err(LeaseError::Held { target: target.clone(), holder });
        }
        held.epoch += 1;
        held.lost = CancellationToken::new();
        if held.hopeless {
            held.lost.cancel();
        }
        let (epoch, lost) = (Epoch::new(held.epoch), held.lost.clone());
        Ok(Tenure::new(epoch, lost, CancellationToken::new(), async {}))
    }
}

fn rollout(cluster: &Ideal, lease: &Shaky, image: &str) -> Rollout {
    Ideal::rollout_on(cluster.backend().lease(Arc::new(lease.clone())), image)
}

#[tokio::test(start_paused = true)]
async fn a_rollout_goes_on_whenever_it_loses_the_lease() {
    let mut lost = 0;
    for millis in 0..100 {
        let (cluster, lease) = (Ideal::with_pods(3), Shaky::new());
        let rollout = rollout(&cluster, &lease, "web:2");
        let loss = async {
            tokio::time::sleep(Duration::from_millis(millis * 100)).await;
            lease.lose();
        };
        let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), loss) }).await;
        assert_eq!(report.unwrap().outcome, Outcome::Promoted, "after {millis}00 ms");
        assert_eq!(cluster.writes(), ["set-template", "restore-settings"], "after {millis}00 ms");
        lost += lease.epoch() - 1;
    }
    assert!(lost > 60, "only {lost} losses fell into a rollout");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_written_down_is_told_although_the_lease_is_lost_then() {
    let (cluster, lease) = (Ideal::with_pods(3), Shaky::new());
    let dead = rollout(&cluster, &lease, "web:2").id(RolloutId::new("of-a-dead-process")).run();
    let dead = cluster.beside(tokio::time::timeout(Duration::from_millis(1500), dead)).await;
    assert!(dead.is_err(), "it was to die midway: {dead:?}");
    cluster.hang_at_the_end();
    let rollout = rollout(&cluster, &lease, "web:2");
    let loss = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        lease.lose();
    };
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), loss) }).await;
    let report = report.unwrap();
    assert_eq!(report.outcome, Outcome::Promoted);
    assert_eq!(report.rollout, RolloutId::new("of-a-dead-process"));
    assert_eq!(cluster.writes(), ["set-template", "restore-settings"]);
}

#[tokio::test(start_paused = true)]
async fn commands_phases_and_warnings_outlive_the_loss() {
    let (cluster, lease) = (Ideal::with_pods(3), Shaky::new());
    let rollout = rollout(&cluster, &lease, "web:2");
    let handle = rollout.handle();
    let loss = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        lease.lose();
        tokio::time::sleep(Duration::from_secs(1)).await;
        handle.abort("wrong version").unwrap();
    };
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), loss) }).await;
    let report = report.unwrap();
    assert!(matches!(report.outcome, Outcome::RolledBack { .. }), "{:?}", report.outcome);
    let converging: Duration =
        report.phases.iter().filter(|lap| lap.name == "converge").map(|lap| lap.time).sum();
    assert!(converging >= Duration::from_secs(2), "{:?}", report.phases);
    assert_eq!(lease.epoch(), 2);
}

#[tokio::test(start_paused = true)]
async fn another_driver_that_has_the_lease_is_left_alone() {
    let (cluster, lease) = (Ideal::with_pods(3), Shaky::new());
    let rollout = rollout(&cluster, &lease, "web:2");
    let loss = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        lease.held.lock().unwrap().other = Some("ci-2");
        lease.lose();
    };
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), loss) }).await;
    assert!(matches!(report, Err(RolloutError::Lost { .. })), "{report:?}");
    assert_eq!(cluster.writes(), ["set-template"]);
}

#[tokio::test(start_paused = true)]
async fn another_driver_that_had_the_lease_is_not_undone() {
    let (cluster, lease) = (Ideal::with_pods(3), Shaky::new());
    let first = rollout(&cluster, &lease, "web:2");
    let story = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let all = lease.free.forget_permits(1000);
        lease.lose();
        // While the first one waits for the lease, a second one comes and goes.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = rollout(&cluster, &Shaky::after(lease.epoch()), "web:3");
        assert_eq!(second.run().await.unwrap().outcome, Outcome::Promoted);
        lease.held.lock().unwrap().epoch += 1;
        lease.free.add_permits(all);
    };
    let (report, ()) = cluster.beside(async { tokio::join!(first.run(), story) }).await;
    assert!(matches!(report, Err(RolloutError::Lost { .. })), "{report:?}");
    assert_eq!(cluster.workload().template, template("web:3"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_never_holds_is_given_up() {
    let (cluster, lease) = (Ideal::with_pods(3), Shaky::new());
    lease.held.lock().unwrap().hopeless = true;
    let report = cluster.beside(rollout(&cluster, &lease, "web:2").run()).await;
    assert!(matches!(report, Err(RolloutError::Lost { .. })), "{report:?}");
    assert_eq!(cluster.writes(), [""; 0]);
}

/// A journal that someone deletes.
#[derive(Clone, Default)]
struct Deletable(Arc<Mutex<(InMemoryJournal, u64)>>);

impl Deletable {
    fn delete(&self) {
        let mut inner = self.0.lock().unwrap();
        *inner = (InMemoryJournal::default(), inner.1 + 1);
    }

    fn now(&self) -> (InMemoryJournal, u64) {
        self.0.lock().unwrap().clone()
    }
}

/// The versions of each journal that there was are its own.
fn tagged(life: u64, version: &Version) -> Version {
    Version::new(format!("{life}-{}", version.as_str()))
}

#[async_trait]
impl Journal for Deletable {
    async fn load(&self, target: &Target) -> Result<Log, JournalError> {
        let (journal, life) = self.now();
        let mut log = journal.load(target).await?;
        log.version = log.version.map(|version| tagged(life, &version));
        Ok(log)
    }

    async fn store(&self, target: &Target, log: &Log) -> Result<Version, JournalError> {
        let (journal, life) = self.now();
        let mut present = journal.load(target).await?;
        if present.version.as_ref().map(|version| tagged(life, version)) != log.version {
            return Err(JournalError::Conflict { target: target.clone() });
        }
        present.entries.clone_from(&log.entries);
        Ok(tagged(life, &journal.store(target, &present).await?))
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_someone_deletes_is_written_again_as_a_whole() {
    for millis in 0..90 {
        let (cluster, journal) = (Ideal::with_pods(3), Deletable::default());
        cluster.break_image("web:2");
        let before = cluster.workload();
        let backend = cluster.backend().journal(Arc::new(journal.clone()));
        let deletion = async {
            tokio::time::sleep(Duration::from_millis(millis * 100)).await;
            journal.delete();
        };
        let rollout = Ideal::rollout_on(backend, "web:2");
        let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), deletion) }).await;
        let outcome = report.unwrap().outcome;
        assert!(matches!(outcome, Outcome::RolledBack { .. }), "after {millis}00 ms: {outcome:?}");
        let after = cluster.workload();
        assert_eq!((after.template, after.settings), (before.template, before.settings));
    }
}
