//! Works out the template that a change asks for. Only the history is read for it.

use serde_json::{Value, json};
use zdd_core::{Change, Clock, ClusterError, Request, Target, Template, WorkloadKind};

use crate::objects::{Historic, Object, Workload, normalized};
use crate::observe::list;
use crate::requests::Requests;
use crate::resource::Resource;

/// The annotation by which `kubectl rollout restart` makes a template another one.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// The annotation by which the Deployment controller numbers ReplicaSets.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Returns the template that the change asks for; the server has not seen it yet.
pub(super) async fn resolve(
    requests: &Requests,
    request: &Request<'_>,
    workload: &Object<Workload>,
) -> Result<Template, ClusterError> {
    let present = workload.body.template().as_value();
    let template = match request.change {
        Change::Image { container, image } => set_image(present, container, image),
        Change::Restart => Ok(restart(present)),
        Change::Template(template) => Ok(normalized(template.as_value().clone())),
        Change::Undo { revision } => {
            let history = history(requests, request.target, workload).await?;
            undo(&history, *revision)
        }
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
fn undo(history: &[(i64, Template)], wanted: Option<i64>) -> Result<Template, String> {
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
    let numbers: Vec<String> = history.iter().map(|(number, _)| number.to_string()).collect();
    let numbers = if numbers.is_empty() { "none".to_owned() } else { numbers.join(", ") };
    Err(format!(
        "{what} (there: {numbers}; revisionHistoryLimit says how many are kept); set the image or \
         the template instead"
    ))
}

/// Reads the revisions that the target owns, oldest first.
async fn history(
    requests: &Requests,
    target: &Target,
    workload: &Object<Workload>,
) -> Result<Vec<(i64, Template)>, ClusterError> {
    let selector = workload.body.spec.selector.query();
    let resource = Resource::history(target.kind);
    let kept = list::<Historic>(requests, resource, &target.namespace, Some(&selector)).await?;
    let owned =
        kept.iter().filter(|kept| kept.meta.controller.as_ref() == Some(&workload.meta.uid));
    let numbered = owned.filter_map(|kept| {
        let number = match target.kind {
            WorkloadKind::Deployment => kept.meta.annotations.get(REVISION)?.parse().ok()?,
            WorkloadKind::DaemonSet | WorkloadKind::StatefulSet => kept.body.revision,
        };
        Some((number, kept.body.template()?))
    });
    let mut history: Vec<(i64, Template)> = numbered.collect();
    history.sort_by_key(|(number, _)| *number);
    Ok(history)
}
