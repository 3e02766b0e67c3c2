use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use zdd_core::{Amount, Part};
use zdd_strategies::{FailFast, RollingConfig, Stage};

fn read(yaml: &str) -> Result<RollingConfig, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(yaml: &str, says: &[&str]) {
    let error = read(yaml).expect_err(yaml);
    for words in says {
        assert!(error.contains(words), "{yaml}: {error}");
    }
}

#[test]
fn what_is_left_out_is_the_default() {
    assert_eq!(read("{}"), Ok(RollingConfig::default()));
    assert_eq!(read("soak: 5m"), Ok(RollingConfig::default().soak(Duration::from_secs(300))));
    let config = RollingConfig::default().fail_fast(FailFast::default().restarts(3));
    assert_eq!(read("failFast: { restarts: 3 }"), Ok(config));
}

#[test]
fn a_word_that_is_no_setting_is_refused_by_name() {
    refused("maxsurge: 2", &["maxsurge", "maxSurge"]);
    refused("stage: { first: 1, bake: 5m, after: 2 }", &["after", "bake"]);
    refused("failFast: { restart: 1 }", &["`restart`", "restarts"]);
}

#[test]
fn a_stage_names_its_pods_and_its_time() {
    refused("stage: { first: 1 }", &["bake"]);
    refused("stage: { bake: 5m }", &["first"]);
}

#[test]
fn values_that_mean_nothing_are_refused() {
    refused("soak: 5", &["soak"]);
    refused("soak: -5s", &["negative"]);
    refused("soak: soon", &["soak"]);
    refused("maxSurge: -1", &["a percentage of them, as 25%"]);
    refused("maxSurge: 1.5", &["a percentage of them, as 25%"]);
    refused("stage: { first: 101%, bake: 5m }", &["more than all pods"]);
    refused("minReadySeconds: -1", &["minReadySeconds"]);
}

fn times() -> impl Strategy<Value = Duration> {
    (0_u64..1_000_000_000, 0_u32..1_000).prop_map(|(seconds, millis)| {
        Duration::from_secs(seconds) + Duration::from_millis(millis.into())
    })
}

fn configs() -> impl Strategy<Value = RollingConfig> {
    let amounts = any::<(bool, u32)>().prop_map(|(percent, number)| {
        if percent { Amount::Percent(number) } else { Amount::Count(number) }
    });
    let parts = (any::<bool>(), 0_u32..=100).prop_map(|(percent, number)| {
        let amount = if percent { Amount::Percent(number) } else { Amount::Count(number) };
        Part::try_from(amount).unwrap()
    });
    let stages = (parts, times()).prop_map(|(first, bake)| Stage::new(first, bake));
    let fail_fast = (any::<u32>(), times(), times()).prop_map(|(restarts, errors, refusals)| {
        FailFast::default().restarts(restarts).start_errors(errors).refusals(refusals)
    });
    let waits = (any::<Option<u32>>(), times(), times(), proptest::option::of(times()));
    (amounts, proptest::option::of(stages), fail_fast, waits).prop_map(
        |(surge, stage, fail_fast, (ready, soak, deadline, drain))| {
            let mut config = RollingConfig::default()
                .max_surge(surge)
                .soak(soak)
                .progress_deadline(deadline)
                .fail_fast(fail_fast);
            config.min_ready_seconds = ready;
            config.stage = stage;
            config.drain = drain;
            config
        },
    )
}

fn schema() -> Value {
    schemars::schema_for!(RollingConfig).to_value()
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_and_fits_the_schema(config in configs()) {
        let written = serde_json::to_value(&config).unwrap();
        prop_assert_eq!(serde_json::from_value::<RollingConfig>(written.clone()).unwrap(), config);
        prop_assert!(jsonschema::is_valid(&schema(), &written), "{}", written);
    }
}

#[test]
fn the_schema_takes_what_is_read() {
    let stage = |first: Value| json!({ "stage": { "first": first, "bake": "5m" } });
    for (config, fits) in [
        (json!({}), true),
        (json!({ "maxSurge": "150%", "drain": null, "minReadySeconds": null }), true),
        (json!({ "maxSurge": "2" }), true),
        (json!({ "maxSurge": -1 }), false),
        (json!({ "maxSurge": 4_294_967_296_u64 }), false),
        (json!({ "maxSurge": 1.5 }), false),
        (json!({ "maxSurge": "+2" }), false),
        (json!({ "maxsurge": 2 }), false),
        (stage(json!("100%")), true),
        (stage(json!("007%")), true),
        (stage(json!("101%")), false),
        (stage(json!(101)), true),
        (json!({ "stage": { "first": 1 } }), false),
        (json!({ "soak": 5 }), false),
        (json!({ "drain": 5 }), false),
        (json!({ "failFast": { "restarts": 0, "startErrors": "PT1M" } }), true),
        (json!({ "failFast": { "restarts": -1 } }), false),
    ] {
        assert_eq!(jsonschema::is_valid(&schema(), &config), fits, "{config}");
        assert_eq!(
            serde_json::from_value::<RollingConfig>(config.clone()).is_ok(),
            fits,
            "{config}"
        );
    }
}

/// A change of this is a change for those whose files it checks.
#[test]
fn the_schema_is_what_it_was() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema()).unwrap());
}
