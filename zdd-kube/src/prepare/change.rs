//! Works out the template that a change asks for. Pure but for the time of a restart.

use serde_json::{Value, json};
use zdd_core::{Change, Clock, ClusterError, Request, Target, Template, WorkloadKind};

use crate::objects::{Object, Workload, normalized};
use crate::observe::Reading;

/// The annotation by which `kubectl rollout restart` makes a template another one.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// The annotation by which the Deployment controller numbers ReplicaSets.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Returns the template that the change asks for; the server has not seen it yet.
pub(super) fn resolve(
    request: &Request<'_>,
    reading: &Reading,
    workload: &Object<Workload>,
) -> Result<Template, ClusterError> {
    let present = workload.body.spec.template.as_value();
    let template = match request.change {
        Change::Image { container, image } => set_image(present, container, image),
        Change::Restart => Ok(restart(present)),
        Change::Template(template) => Ok(normalized(template.as_value().clone())),
        Change::Undo { revision } => undo(request.target, reading, workload, *revision),
        other => Err(format!("this release does not know how to {other}")),
    };
    template.map_err(|problem| ClusterError::refused(request.target, problem))
}

fn set_image(present: &Value, container: &str, image: &str) -> Result<Template, String> {
    let mut template = present.clone();
    let mut names = Vec::new();
    for list in ["containers", "initContainers"] {
        for found in template["spec"][list].as_array_mut().into_iter().flatten() {
            let name = found["name"].as_str().unwrap_or_default().to_owned();
            if name == container {
                found["image"] = json!(image);
                return Ok(Template::new(template));
            }
            names.push(name);
        }
    }
    Err(format!("it has no container {container}; name one of: {}", names.join(", ")))
}

fn restart(present: &Value) -> Template {
    let mut template = present.clone();
    let now = Clock::system().now();
    template["metadata"]["annotations"][RESTARTED_AT] = json!(format!("{now:.0}"));
    normalized(template)
}

/// Finds an earlier template as `kubectl rollout undo` does.
fn undo(
    target: &Target,
    reading: &Reading,
    workload: &Object<Workload>,
    wanted: Option<i64>,
) -> Result<Template, String> {
    let history = history(target.kind, reading, &workload.meta.uid);
    let numbers = || {
        let numbers: Vec<String> = history.iter().map(|(number, _)| number.to_string()).collect();
        if numbers.is_empty() { "none".to_owned() } else { numbers.join(", ") }
    };
    let found = match wanted {
        Some(wanted) => history.iter().find(|(number, _)| *number == wanted),
        None => history.iter().rev().nth(1),
    };
    if let Some((_, template)) = found {
        return Ok(template.clone());
    }
    let what = match wanted {
        Some(wanted) => format!("revision {wanted} is not in its history"),
        None => "there is no revision before the present one in its history".to_owned(),
    };
    Err(format!(
        "{what} (there: {}; revisionHistoryLimit says how many are kept); \
         set the image or the template instead",
        numbers()
    ))
}

/// Lists the revisions that the target owns, oldest first.
fn history(kind: WorkloadKind, reading: &Reading, uid: &str) -> Vec<(i64, Template)> {
    let mut history: Vec<(i64, Template)> = match kind {
        WorkloadKind::Deployment => {
            let owned = reading.replica_sets.iter();
            let owned = owned.filter(|set| set.meta.controller.as_deref() == Some(uid));
            let numbered = owned.filter_map(|set| {
                let number = set.meta.annotations.get(REVISION)?.parse().ok()?;
                Some((number, set.body.spec.template.clone()))
            });
            numbered.collect()
        }
        WorkloadKind::DaemonSet | WorkloadKind::StatefulSet => {
            let owned = reading.revisions.iter();
            let owned = owned.filter(|kept| kept.meta.controller.as_deref() == Some(uid));
            owned.filter_map(|kept| Some((kept.body.revision, kept.body.template()?))).collect()
        }
    };
    history.sort_by_key(|(number, _)| *number);
    history
}
