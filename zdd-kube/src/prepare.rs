//! Works out what a change means, and checks that it can be made. Writes nothing.

use kube::core::DynamicObject;
use zdd_core::{Change, ClusterError, Epoch, Mark, Prepared, Request, Template};

use crate::apply::{guarded, set_template};
use crate::objects::{Object, Workload};
use crate::observe::{self, understand};
use crate::requests::{Requests, Run};
use crate::resource;

/// Prepares a change.
pub(crate) async fn prepare(
    requests: &Requests,
    request: &Request<'_>,
) -> Result<Prepared, ClusterError> {
    let reading = observe::read(requests, request.target).await?;
    let Some(workload) = &reading.workload else {
        return Err(ClusterError::refused(request.target, "it does not exist; create it first"));
    };
    let template = resolve(request, workload)?;
    let template = dry_run(requests, request, workload, &template).await?;
    Ok(Prepared::new(reading.snapshot(request.target), template))
}

fn resolve(request: &Request<'_>, workload: &Object<Workload>) -> Result<Template, ClusterError> {
    let mut template = workload.body.spec.template.as_value().clone();
    if let Change::Image { container, image } = request.change {
        for found in template["spec"]["containers"].as_array_mut().into_iter().flatten() {
            if found["name"].as_str() == Some(container) {
                found["image"] = image.as_str().into();
            }
        }
    }
    Ok(Template::new(template))
}

/// Has the server try the very patch that will be sent, and returns the template as it would be
/// stored.
async fn dry_run(
    requests: &Requests,
    request: &Request<'_>,
    workload: &Object<Workload>,
    template: &Template,
) -> Result<Template, ClusterError> {
    let target = request.target;
    let epoch = crate::snapshot::epoch(&workload.meta).unwrap_or_default();
    let mark = Mark::new(target, request.rollout, Epoch::new(epoch.get()));
    let fields = set_template(target, template, request.settings, workload)?;
    let patch = guarded(&mark, workload, fields);
    let (resource, at) = (resource::of(target), (&*target.namespace, &*target.name));
    let answer: DynamicObject = requests.patch(resource, at, &patch, Run::Dry).await?;
    Ok(understand::<Workload>(resource, answer)?.body.spec.template)
}
