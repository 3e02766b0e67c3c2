//! How much memory drivers in hold take: `cargo run --release -p zdd-testkit --example memory`.
//!
//! One embedded cluster has a thousand Deployments. Resident memory is read before any rollout,
//! with one rollout in hold, and with all of them; the cluster's own memory is in each reading.
#![expect(clippy::print_stdout, reason = "the figures are the point")]

use std::time::Duration;

use kube::api::{Api, DynamicObject, PostParams};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zdd_core::{Change, Rollout, Target, WorkloadKind};
use zdd_sim::{Behaviour, Cluster, Images};
use zdd_strategies::Rolling;

const MANY: usize = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<(), Box<dyn std::error::Error>> {
    let images =
        Images::new().with("web:1", Behaviour::default()).with("web:2", Behaviour::default());
    let cluster = Cluster::builder().images(images).without_events().build();
    let mut tasks = JoinSet::new();
    let driven = cluster.clone();
    tasks.spawn(async move { driven.run(CancellationToken::new()).await });
    let targets: Vec<Target> =
        (0..MANY).map(|number| Target::deployment("default", format!("web-{number}"))).collect();
    let resource = kube::api::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(
        "apps",
        "v1",
        &WorkloadKind::Deployment.to_string(),
    ));
    let api: Api<DynamicObject> = Api::default_namespaced_with(cluster.client(), &resource);
    for target in &targets {
        let mut object = zdd_testkit::workload(target, "web:1", 1);
        for labels in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
            object.pointer_mut(labels).ok_or("the manifest has labels")?["app"] =
                (*target.name).into();
        }
        api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let idle = resident()?;
    hold(&cluster, &mut tasks, &targets[..1]).await;
    let one = resident()?;
    hold(&cluster, &mut tasks, &targets[1..]).await;
    let all = resident()?;
    println!("no rollout:           {idle:>7} KiB");
    println!("1 rollout in hold:    {:>7} KiB more", one.saturating_sub(idle));
    println!(
        "{MANY} rollouts in hold: {:>7} KiB more, {} KiB each",
        all.saturating_sub(idle),
        all.saturating_sub(idle) / MANY
    );
    Ok(())
}

/// Starts rollouts, pauses them by an operator's command, and waits until all stand still.
async fn hold(cluster: &Cluster, tasks: &mut JoinSet<()>, targets: &[Target]) {
    for target in targets {
        let backend = zdd_kube::backend(cluster.client());
        let change = Change::image("app", "web:2");
        let rollout = Rollout::new(backend, target.clone(), change, Rolling::default());
        if rollout.handle().pause().is_err() {
            return;
        }
        tasks.spawn(async move { drop(rollout.run().await) });
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// Resident memory in KiB (proc(5), `statm`, in pages of 4 KiB).
fn resident() -> Result<usize, Box<dyn std::error::Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split_whitespace().nth(1).ok_or("statm has a second field")?;
    Ok(pages.parse::<usize>()? * 4)
}
