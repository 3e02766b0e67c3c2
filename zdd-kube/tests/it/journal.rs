//! The journal: replaced as a whole, by one driver only.

use serde_json::{Value, json};
use zdd_core::{
    Entry, Epoch, Event, Journal as _, JournalError, Log, Milestone, Target, Version, chain,
};
use zdd_kube::KubeJournal;
use zdd_sim::{Collection, Fault, Faults, Object, Plan};

use crate::support::{Running, deployment, refusal, rollout, started, started_with, to, web};

const NAME: &str = "zdd-deployment-web";

fn journal(running: &Running) -> KubeJournal {
    KubeJournal::new(running.cluster.client())
}

fn entry(number: usize) -> Entry {
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    Entry::new(at, Epoch::new(1), Event::Reached(Milestone::numbered("step", number)))
}

fn corrupt(error: &JournalError) -> String {
    assert!(matches!(error, JournalError::Corrupt { .. }), "{error}");
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_loaded() {
    let running = started().await;
    let journal = journal(&running);
    assert_eq!(journal.load(&web()).await.unwrap(), Log::default());
    let first = journal.store(&web(), &Log::new(vec![entry(1)], None)).await.unwrap();
    let log = Log::new(vec![entry(1), entry(2)], Some(first));
    let second = journal.store(&web(), &log).await.unwrap();
    assert_eq!(journal.load(&web()).await.unwrap(), Log::new(log.entries, Some(second)));
    let kept = running.get(&Collection::CONFIG_MAPS, NAME).unwrap();
    assert_eq!(kept.annotation("zdd.dev/target"), Some("Deployment default/web"));
    assert!(kept["metadata"]["ownerReferences"].is_null());
}

#[tokio::test(start_paused = true)]
async fn kinds_of_the_same_name_have_journals_of_their_own() {
    let running = started().await;
    let journal = journal(&running);
    journal.store(&web(), &Log::new(vec![entry(1)], None)).await.unwrap();
    let other = Target::stateful_set("default", "web");
    assert_eq!(journal.load(&other).await.unwrap(), Log::default());
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_behind_cannot_write() {
    let running = started().await;
    let journal = journal(&running);
    let old = journal.store(&web(), &Log::new(vec![entry(1)], None)).await.unwrap();
    journal.store(&web(), &Log::new(vec![entry(2)], Some(old.clone()))).await.unwrap();
    for version in [Some(old), None, Some(Version::new("1"))] {
        let error = journal.store(&web(), &Log::new(vec![entry(3)], version)).await.unwrap_err();
        assert!(matches!(error, JournalError::Conflict { .. }), "{error}");
    }
    assert_eq!(journal.load(&web()).await.unwrap().entries, [entry(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_without_a_cause_is_overcome() {
    let running = started().await;
    let faults = Faults::new(Plan::single(1, Fault::Conflict));
    let api = running.cluster.api().with_faults(faults.clone());
    let journal = KubeJournal::new(kube::Client::new(api, "default"));
    let first = journal.store(&web(), &Log::new(vec![entry(1)], None)).await.unwrap();
    journal.store(&web(), &Log::new(vec![entry(2)], Some(first))).await.unwrap();
    assert_eq!(faults.injected().len(), 1);
    assert_eq!(journal.load(&web()).await.unwrap().entries, [entry(2)]);
}

#[tokio::test(start_paused = true)]
async fn fields_of_later_releases_are_skipped() {
    let running = started().await;
    let journal = journal(&running);
    journal.store(&web(), &Log::new(vec![entry(1)], None)).await.unwrap();
    running.edit(&Collection::CONFIG_MAPS, NAME, |object| {
        let mut document: Value =
            serde_json::from_str(object["data"]["journal.json"].as_str().unwrap()).unwrap();
        document["compression"] = json!("none");
        document["entries"][0]["host"] = json!("ci-1");
        object["data"]["journal.json"] = json!(document.to_string());
    });
    assert_eq!(journal.load(&web()).await.unwrap().entries, [entry(1)]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_is_said_to_be_corrupt() {
    let running = started().await;
    let journal = journal(&running);
    journal.store(&web(), &Log::new(vec![entry(1)], None)).await.unwrap();
    running.edit(&Collection::CONFIG_MAPS, NAME, |object| {
        object["data"]["journal.json"] = json!("{\"entries\": [1]}");
    });
    let text = corrupt(&journal.load(&web()).await.unwrap_err());
    assert!(text.contains("ConfigMap default/zdd-deployment-web"), "{text}");
    running.edit(&Collection::CONFIG_MAPS, NAME, |object| object["data"] = json!({}));
    corrupt(&journal.load(&web()).await.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn a_config_map_of_someone_else_is_left_alone() {
    let running = started().await;
    running
        .create(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": NAME, "namespace": "default" },
            "data": { "journal.json": "{\"entries\": []}" },
        }))
        .await;
    corrupt(&journal(&running).load(&web()).await.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_does_not_fit_is_refused_before_it_is_sent() {
    let running = started().await;
    let entries = (0..20_000).map(entry).collect();
    let error = journal(&running).store(&web(), &Log::new(entries, None)).await.unwrap_err();
    let text = chain(&error);
    assert!(text.contains("do not fit into a ConfigMap"), "{text}");
    assert!(running.get(&Collection::CONFIG_MAPS, NAME).is_none());
}

/// Otherwise it would end half-way, where the entry no longer fits that has the way back.
#[tokio::test(start_paused = true)]
async fn a_template_too_large_for_a_whole_rollout_is_refused_before_the_first_step() {
    let mut large = deployment(3, "web:1");
    large["spec"]["template"]["metadata"]["annotations"] = json!({ "a": "x".repeat(210_000) });
    let running = started_with(large).await;
    let before = running.deployment();
    let text = refusal(rollout(running.backend(), to("web:2")).run().await);
    assert!(text.contains("has room for 400000 of them by now; make the pod template"), "{text}");
    assert_eq!(running.deployment()["spec"], before["spec"]);
    assert!(running.get(&Collection::CONFIG_MAPS, NAME).is_none());
}
