use serde_json::json;

use super::*;

fn of(value: &Value) -> Fields {
    Fields::of(Schema::BuiltIn, value, "", "")
}

fn pod() -> Value {
    json!({
        "metadata": { "labels": { "app": "web" }, "finalizers": ["x"] },
        "spec": {
            "containers": [{
                "name": "web",
                "image": "web:1",
                "args": ["a", "b"],
                "ports": [{ "containerPort": 80 }],
            }],
            "nodeSelector": { "zone": "a" },
        },
    })
}

#[test]
fn fields_are_written_as_the_server_does() {
    let expected = json!({
        "f:metadata": {
            "f:finalizers": { "v:\"x\"": {} },
            "f:labels": { "f:app": {} },
        },
        "f:spec": {
            "f:containers": { "k:{\"name\":\"web\"}": {
                ".": {},
                "f:args": {},
                "f:image": {},
                "f:name": {},
                "f:ports": { "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                    ".": {},
                    "f:containerPort": {},
                } },
            } },
            "f:nodeSelector": {},
        },
    });
    assert_eq!(of(&pod()).to_value(), expected);
    assert_eq!(Fields::parse(&expected), of(&pod()));
}

#[test]
fn paths_read_like_the_servers_conflicts() {
    let fields = of(&pod());
    let paths = fields.paths();
    assert!(paths.contains(&".metadata.labels.app".to_owned()), "{paths:?}");
    assert!(paths.contains(&".spec.containers[name=\"web\"].image".to_owned()), "{paths:?}");
    assert!(paths.contains(&".metadata.finalizers[=\"x\"]".to_owned()), "{paths:?}");
}

#[test]
fn a_difference_names_what_changed_and_what_went() {
    let mut new = pod();
    new["spec"]["containers"][0]["image"] = "web:2".into();
    new["spec"]["containers"][0]["args"] = json!(["a"]);
    new["metadata"]["labels"] = json!({ "tier": "front" });
    let found = Difference::between(Schema::BuiltIn, &pod(), &new, ("", ""));
    assert_eq!(
        found.changed.paths(),
        [
            ".metadata.labels.tier",
            ".spec.containers[name=\"web\"].args",
            ".spec.containers[name=\"web\"].image",
        ]
    );
    assert_eq!(found.removed.paths(), [".metadata.labels.app"]);
}

#[test]
fn sets_obey_their_laws() {
    let one = of(&pod());
    let mut other = pod();
    other["spec"]["containers"][0]["image"] = json!(null);
    other["spec"]["hostname"] = "h".into();
    let two = of(&other);
    assert_eq!(one.union(&one), one);
    assert_eq!(one.intersection(&one), one);
    assert!(one.minus(&one).is_empty());
    assert_eq!(one.union(&two), two.union(&one));
    assert_eq!(one.minus(&two).union(&one.intersection(&two)), one);
}
