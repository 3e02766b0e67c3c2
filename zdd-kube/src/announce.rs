//! Events on the target, for those who look at it with `kubectl describe`.

use std::time::Duration;

use serde_json::{Value, json};
use zdd_core::{ClusterError, Mark, Outcome, Progress, ProgressKind};

use crate::names::MANAGER;
use crate::observe::read_workload;
use crate::requests::Requests;
use crate::resource::{self, Resource};

/// An Event is worth this much of a rollout's time, and no more.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest note that the server takes.
const LONGEST_NOTE: usize = 1024;

/// Writes an Event for the beginning, a turn back and the end of a rollout.
pub(crate) async fn announce(requests: &Requests, mark: &Mark<'_>, progress: &Progress) {
    let Some(note) = note(&progress.kind) else { return };
    let written = tokio::time::timeout(PATIENCE, write(requests, mark, progress, &note)).await;
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(target = %mark.target, %error, "no Event was written"),
        Err(_) => tracing::warn!(target = %mark.target, "no Event was written in time"),
    }
}

struct Note {
    kind: &'static str,
    reason: &'static str,
    action: &'static str,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "progress of later releases is not for Events either"
)]
fn note(kind: &ProgressKind) -> Option<Note> {
    let note = |kind, reason, action| Some(Note { kind, reason, action });
    match kind {
        ProgressKind::Started { .. } => note("Normal", "RolloutStarted", "RollOut"),
        ProgressKind::RollbackStarted { .. } => note("Warning", "RollbackStarted", "RollBack"),
        ProgressKind::Finished { outcome } => match outcome {
            Outcome::Promoted => note("Normal", "RolloutPromoted", "RollOut"),
            Outcome::RolledBack { .. } => note("Warning", "RolloutRolledBack", "RollBack"),
            Outcome::Stuck { .. } => note("Warning", "RolloutStuck", "RollOut"),
            Outcome::Superseded { .. } => note("Normal", "RolloutSuperseded", "RollOut"),
        },
        // The rest is for those who follow the rollout itself.
        _ => None,
    }
}

async fn write(
    requests: &Requests,
    mark: &Mark<'_>,
    progress: &Progress,
    note: &Note,
) -> Result<(), ClusterError> {
    let target = mark.target;
    // `kubectl describe` finds Events by the uid.
    let uid = read_workload(requests, target).await?.map(|object| object.meta.uid);
    let event = event(mark, progress, note, uid.as_deref());
    requests.create::<Value>(Resource::EVENTS, &target.namespace, &event).await?;
    Ok(())
}

fn event(mark: &Mark<'_>, progress: &Progress, note: &Note, uid: Option<&str>) -> Value {
    let target = mark.target;
    let mut text = progress.kind.to_string();
    if text.len() > LONGEST_NOTE {
        let end = (0..=LONGEST_NOTE).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
    // As client-go names them: the object, and the time to tell them apart.
    let stem: String = target.name.chars().take(200).collect();
    let name = format!("{stem}.{:016x}", fastrand::u64(..));
    let resource = resource::of(target);
    json!({
        "apiVersion": Resource::EVENTS.api_version(),
        "kind": Resource::EVENTS.kind,
        "metadata": { "name": name, "namespace": target.namespace },
        "eventTime": format!("{:.6}", progress.at),
        "type": note.kind,
        "reason": note.reason,
        "action": note.action,
        "note": text,
        "reportingController": "zdd.dev/zdd",
        "reportingInstance": format!("{MANAGER}-{}", mark.rollout),
        "regarding": {
            "apiVersion": resource.api_version(),
            "kind": resource.kind,
            "namespace": target.namespace,
            "name": target.name,
            "uid": uid,
        },
    })
}
