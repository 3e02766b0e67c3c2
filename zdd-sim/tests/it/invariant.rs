//! Each invariant bites, and is silent while nothing is wrong.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zdd_sim::{
    Behaviour, CallRate, Cluster, Collection, Deletion, EndState, Images, OwnedFields, Part,
    ProvenSelector, ReadyFloor, ServingFloor, Summary,
};

use crate::support::{Running, deployment, service, start};

const MINUTES: Duration = Duration::from_secs(600);

/// A Deployment of three with a Service, and one more beside it with other labels.
async fn two_colours(green: &str) -> Running {
    let images = Images::any()
        .with("web:bad", Behaviour::never_ready())
        .with("web:abrupt", Behaviour::abrupt());
    let running = start(Cluster::builder().images(images));
    running.create(&Collection::SERVICES, service());
    running.create(&Collection::DEPLOYMENTS, deployment(3, "web:1"));
    let mut object = deployment(3, green);
    object["metadata"]["name"] = "green".into();
    object["spec"]["selector"]["matchLabels"] = json!({"app": "green"});
    object["spec"]["template"]["metadata"]["labels"] = json!({"app": "green"});
    running.create(&Collection::DEPLOYMENTS, object);
    running.complete("web").await;
    // Everything that can happen to the second one has happened.
    tokio::time::sleep(Duration::from_secs(30)).await;
    running
}

fn switch(running: &Running, app: &str) {
    running.edit(&Collection::SERVICES, "web", |object| {
        object["spec"]["selector"] = json!({"app": app});
    });
}

fn violations(running: &Running) -> Vec<String> {
    running.cluster.violations().into_iter().map(|violation| violation.invariant).collect()
}

#[tokio::test(start_paused = true)]
async fn the_floors_hold_when_the_switch_comes_before_the_shrink() {
    let running = two_colours("web:2").await;
    running.cluster.watch(ServingFloor::new("default", "web", 3));
    running.cluster.watch(ReadyFloor::new("default", "web", 3));
    switch(&running, "green");
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.edit(&Collection::DEPLOYMENTS, "web", |object| object["spec"]["replicas"] = 0.into());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(running.cluster.violations(), []);
}

#[tokio::test(start_paused = true)]
async fn the_serving_floor_sees_pods_that_go_before_the_data_plane_moved() {
    let running = two_colours("web:abrupt").await;
    switch(&running, "green");
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.cluster.watch(ServingFloor::new("default", "web", 3));
    running.cluster.watch(ReadyFloor::new("default", "web", 3));
    running.cluster.set_data_plane_lag(Duration::from_secs(1));
    // The API never shows fewer than three, but one second long the data plane has the old ones.
    switch(&running, "web");
    tokio::time::sleep(Duration::from_millis(500)).await;
    running.edit(&Collection::DEPLOYMENTS, "green", |object| object["spec"]["replicas"] = 0.into());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(violations(&running), ["I1 serving floor"]);
    let violation = &running.cluster.violations()[0];
    assert!(violation.message.contains("endpoints of default/web serve"), "{violation}");
}

#[tokio::test(start_paused = true)]
async fn the_ready_floor_sees_a_scale_below_it() {
    let running = two_colours("web:2").await;
    running.cluster.watch(ReadyFloor::new("default", "web", 3));
    switch(&running, "web");
    running.edit(&Collection::SERVICES, "web", |object| {
        object["metadata"]["labels"]["touched"] = "yes".into();
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.edit(&Collection::DEPLOYMENTS, "web", |object| object["spec"]["replicas"] = 2.into());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(violations(&running), ["I1 ready floor"]);
}

#[tokio::test(start_paused = true)]
async fn a_selector_must_match_pods_that_are_ready_or_have_been_selected_before() {
    for (green, soak, expected) in [("web:2", 10, 0), ("web:2", 3600, 1), ("web:bad", 0, 1)] {
        let running = two_colours(green).await;
        let soak = Duration::from_secs(soak);
        running.cluster.watch(ProvenSelector::new("default", "web", 3, soak));
        switch(&running, "green");
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The way back is always free.
        switch(&running, "web");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(violations(&running).len(), expected, "{green} {soak:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_field_is_seen_and_an_own_one_is_not() {
    let running = two_colours("web:2").await;
    let rule = OwnedFields::of("driver/")
        .field(Collection::DEPLOYMENTS, "/spec/template")
        .all_of(Collection::CONFIG_MAPS);
    running.cluster.watch(rule);
    let driver: Arc<str> = Arc::from("driver/1.0");
    let write = |edit: &dyn Fn(&mut Value)| {
        running.cluster.with_store(|store| {
            let place = ("default", "web");
            store.modify(&driver, &Collection::DEPLOYMENTS, Part::Main, place, edit).unwrap();
        });
    };
    write(&|object| object["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2".into());
    running.cluster.with_store(|store| {
        let journal = json!({"metadata": {"name": "journal", "namespace": "default"}});
        store.create(&driver, &Collection::CONFIG_MAPS, journal).unwrap();
    });
    running.complete("web").await;
    assert_eq!(running.cluster.violations(), []);
    write(&|object| {
        object["spec"]["replicas"] = 9.into();
        object["metadata"]["annotations"]["a/b"] = "x".into();
    });
    running.cluster.with_store(|store| {
        let deletion = Deletion::default();
        store.delete(&driver, &Collection::SERVICES, ("default", "web"), &deletion).unwrap();
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let messages: Vec<_> =
        running.cluster.violations().into_iter().map(|violation| violation.message).collect();
    assert_eq!(
        messages,
        [
            "driver/1.0 changed /metadata/annotations/a~1b, /spec/replicas of deployments.apps \
             default/web",
            "driver/1.0 deleted services default/web",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_hot_loop_on_the_api_is_seen() {
    use k8s_openapi::api::core::v1::ConfigMap;
    let running = two_colours("web:2").await;
    let api = running.cluster.api().as_user("driver");
    running.cluster.watch(CallRate::new(api.clone(), "driver", 10, Duration::from_secs(1)));
    let client = kube::Client::new(api, "default");
    let maps = kube::Api::<ConfigMap>::default_namespaced(client);
    let touch = |number: u32| {
        running.edit(&Collection::SERVICES, "web", |object| {
            object["metadata"]["labels"]["touched"] = number.to_string().into();
        });
    };
    for number in 0..20 {
        assert_eq!(maps.get_opt("none").await.unwrap(), None);
        touch(number);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(running.cluster.violations(), []);
    for _ in 0..11 {
        assert_eq!(maps.get_opt("none").await.unwrap(), None);
    }
    touch(99);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(violations(&running), ["I10 call rate"]);
}

/// Deploys, rolls, and lets everything come to rest.
async fn rolled(seed: u64, image: &str) -> Running {
    let running = start(Cluster::builder().seed(seed));
    running.create(&Collection::SERVICES, service());
    running.create(&Collection::DEPLOYMENTS, deployment(4, "web:1"));
    running.complete("web").await;
    running.edit(&Collection::DEPLOYMENTS, "web", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
    });
    running.complete("web").await;
    running.until(MINUTES, |running| running.list(&Collection::PODS).len() == 4).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    running
}

#[tokio::test(start_paused = true)]
async fn two_seeds_end_in_the_same_state_with_the_same_creations() {
    let summary = |running: &Running| {
        running.cluster.with_store(|store| {
            let summary = Summary::since(store, 1, None).unwrap();
            (summary.without(&Collection::EVENTS), EndState::of(store))
        })
    };
    let (one, other) = (rolled(1, "web:2").await, rolled(2, "web:2").await);
    let ((counts, state), (other_counts, other_state)) = (summary(&one), summary(&other));
    assert_eq!(counts, other_counts);
    assert_eq!(counts.created.get(&Collection::PODS), Some(&8));
    assert_eq!(counts.deleted.get(&Collection::PODS), Some(&4));
    assert!(state == other_state, "{state}\n{other_state}");
    let (_, different) = summary(&rolled(1, "web:3").await);
    assert!(state != different, "an other image must be an other state");
}
