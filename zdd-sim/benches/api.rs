//! What the in-process API costs per request and per watch event.
//!
//! `cargo bench -p zdd-sim --bench api`
#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot run has nothing better to do")]
#![expect(clippy::disallowed_types, reason = "real time is what is measured")]

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchParams};
use serde_json::json;
use zdd_sim::{ApiServer, Clock, Store};

const ROUNDS: usize = 5_000;

fn deployment(name: &str) -> Deployment {
    serde_json::from_value(json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "replicas": 6,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
            },
        },
    }))
    .unwrap()
}

async fn measure<F: Future>(what: &str, rounds: usize, mut once: impl FnMut(usize) -> F) {
    let begun = Instant::now();
    for round in 0..rounds {
        once(round).await;
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(rounds).unwrap());
    println!("{what:<44} {each:>8.1} us");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let store = Arc::new(Mutex::new(Store::new(Clock::system(), 1)));
    let server = ApiServer::new(store);
    let client = kube::Client::new(server, "default");
    let api: Api<Deployment> = Api::default_namespaced(client);
    let params = PostParams::default();
    measure("create a Deployment", ROUNDS, |round| {
        let (api, params) = (api.clone(), params.clone());
        async move { api.create(&params, &deployment(&format!("d{round}"))).await.unwrap() }
    })
    .await;
    measure("get", ROUNDS, |_| api.get("d7")).await;
    let one = ListParams::default().fields("metadata.name=d7");
    measure("list one of 5,000 by name", 500, |_| api.list(&one)).await;
    let patch_params = PatchParams::default();
    let patches: Vec<_> =
        (0..2).map(|n| Patch::Merge(json!({ "spec": { "replicas": 6 + n } }))).collect();
    measure("merge patch", ROUNDS, |round| api.patch("d7", &patch_params, &patches[round % 2]))
        .await;
    let apply = PatchParams::apply("bench").force();
    let configs: Vec<_> = (0..2)
        .map(|n| {
            let mut config = serde_json::to_value(deployment("d8")).unwrap();
            config["spec"]["replicas"] = (6 + n).into();
            Patch::Apply(config)
        })
        .collect();
    measure("server-side apply", ROUNDS, |round| api.patch("d8", &apply, &configs[round % 2]))
        .await;
    let watch = WatchParams::default().fields("metadata.name=d7");
    let now = api.get("d7").await.unwrap().metadata.resource_version.unwrap();
    let mut events = api.watch(&watch, &now).await.unwrap().boxed();
    let begun = Instant::now();
    for round in 0..ROUNDS {
        api.patch("d7", &patch_params, &patches[round % 2]).await.unwrap();
        events.next().await.unwrap().unwrap();
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(ROUNDS).unwrap());
    println!("{:<44} {each:>8.1} us", "merge patch and its watch event");
}
