//! Works out what a change means, and checks that it can be made. Writes nothing.

mod change;

use kube::core::DynamicObject;
use zdd_core::{Change, ClusterError, Mark, Prepared, Request, Step, Template};

use crate::apply::guarded;
use crate::failure::Failure;
use crate::objects::{Object, Workload};
use crate::observe::{self, understand};
use crate::preflight::{self, Facts};
use crate::requests::{Requests, Run};
use crate::resource;
use crate::snapshot::settings;

/// Prepares a change.
pub(crate) async fn prepare(
    requests: &Requests,
    request: &Request<'_>,
) -> Result<Prepared, ClusterError> {
    let target = request.target;
    // Rights first: without them nothing below would be found out.
    let rights = preflight::rights(requests, target).await?;
    let reading = observe::read(requests, target).await?;
    let Some(workload) = &reading.workload else {
        return Err(preflight::missing(requests, target).await);
    };
    let template = change::resolve(requests, request, workload).await?;
    let facts = Facts::new(request, workload, &template, &reading.services)?;
    let mut warnings = preflight::check(&facts)?;
    warnings.extend(preflight::surroundings(requests, &rights, &facts).await);
    let template = match dry_run(requests, request, workload, &template).await? {
        Tried::Template(template) => template,
        Tried::Impossible(warning) => {
            warnings.push(warning);
            template
        }
    };
    let mut prepared = Prepared::new(reading.snapshot(target), template);
    prepared.warnings = warnings;
    Ok(prepared)
}

enum Tried {
    /// The template as it would be stored.
    Template(Template),
    /// The cluster does not try things out; why.
    Impossible(String),
}

/// Has the server try the very patch that will be sent: with all defaults, and past all admission.
async fn dry_run(
    requests: &Requests,
    request: &Request<'_>,
    workload: &Object<Workload>,
    template: &Template,
) -> Result<Tried, ClusterError> {
    let target = request.target;
    // The driver's number is not known yet; the one that is there changes nothing.
    let epoch = crate::snapshot::epoch(&workload.meta).unwrap_or_default();
    let mark = Mark::new(target, request.rollout, epoch);
    let step = Step::SetTemplate { template: template.clone(), settings: request.settings.clone() };
    let fields = crate::apply::fields(target, &step, workload, request.rollout)?;
    let patch = guarded(&mark, workload, fields);
    let (resource, at) = (resource::of(target), (&*target.namespace, &*target.name));
    let answer: Result<DynamicObject, Failure> =
        requests.patch(resource, at, &patch, Run::Dry).await;
    let answer = match answer {
        Ok(answer) => understand::<Workload>(resource, answer)?,
        Err(failure) if cannot_try(&failure) && !is_raw(request.change) => {
            return Ok(Tried::Impossible(format!("the change could not be tried out: {failure}")));
        }
        // Nothing was to be written: an unclear end is no more than no answer.
        Err(failure) => return Err(failure.reading().into()),
    };
    let taken = settings(target.kind, &answer.body);
    if !taken.covers(request.settings) {
        let problem = format!(
            "the cluster does not take these settings ({}); it would store ({taken})",
            request.settings
        );
        return Err(ClusterError::refused(target, problem));
    }
    Ok(Tried::Template(answer.body.template().clone()))
}

/// Tells whether a webhook with side effects keeps the server from trying.
fn cannot_try(failure: &Failure) -> bool {
    failure.answer().is_some_and(|answer| answer.message.contains("does not support dry run"))
}

/// Tells whether a template still lacks the cluster's defaults. All others are made from one that
/// has them.
fn is_raw(change: &Change) -> bool {
    matches!(change, Change::Template(_))
}
