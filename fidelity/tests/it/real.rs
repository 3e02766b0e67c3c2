use std::fmt::Write;
use std::path::PathBuf;

use futures::StreamExt;
use zdd_fidelity::{catalogue, difference, side};

/// Scripts that are played at a time.
const TOGETHER: usize = 8;

/// Not on a node: its scheduler and kubelet would do what the scripts do themselves.
#[tokio::test]
#[ignore = "needs a real control plane: cargo xtask test --stage control-plane"]
async fn the_real_control_plane_answers_as_recorded() {
    if variable("LEVEL") != "control-plane" {
        eprintln!("left out: the scripts play kubelet and scheduler themselves");
        return;
    }
    let kubeconfig = PathBuf::from(variable("KUBECONFIG"));
    let client = side::connect(&kubeconfig).await.unwrap();
    let scripts = catalogue::scripts().unwrap();
    let played = futures::stream::iter(&scripts).map(|script| {
        let client = client.clone();
        async move { (script, side::real(script, client).await.unwrap()) }
    });
    let played: Vec<_> = played.buffer_unordered(TOGETHER).collect().await;
    let mut drift = String::new();
    for (script, observed) in played {
        let difference = difference(script, &observed);
        if !difference.is_empty() {
            writeln!(drift, "{}\n{difference}", script.name).unwrap();
        }
    }
    assert!(drift.is_empty(), "the record is not what the control plane does:\n{drift}");
}

/// Returns what the environment says of the testbed.
fn variable(name: &str) -> String {
    let name = format!("ZDD_TESTBED_{name}");
    let hint = "run cargo xtask test --stage control-plane, or set it";
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: {hint}"))
}
