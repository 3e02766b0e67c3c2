use std::fmt::Write;
use std::path::PathBuf;

use futures::StreamExt;
use zdd_fidelity::{catalogue, difference, side};

/// Names the control plane to play against.
const KUBECONFIG: &str = "ZDD_TESTBED_KUBECONFIG";
/// Scripts that are played at a time.
const TOGETHER: usize = 8;

#[tokio::test]
async fn the_real_control_plane_answers_as_recorded() {
    let Some(kubeconfig) = std::env::var_os(KUBECONFIG).map(PathBuf::from) else {
        eprintln!("skipped: {KUBECONFIG} names no control plane");
        return;
    };
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
