//! The `log` subresource of pods: what their containers have written.

use bytes::Bytes;
use futures::Stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::watch;

use super::error::TransportError;
use super::reply::{ApiBody, Reply};
use super::request::{Call, Query};
use super::status::ApiStatus;
use super::{Core, lock};
use crate::kubelet::{ContainerLog, LogLine};
use crate::store::Place;

/// Finds the log of a pod's container; `None` before its first start.
pub(crate) type LogSource = Box<dyn Fn(&Place, &str) -> Option<ContainerLog> + Send + Sync>;

/// What a client wants to read.
#[derive(Clone, Debug)]
struct Options {
    follow: bool,
    timestamps: bool,
    tail: Option<usize>,
    since: Option<Timestamp>,
    limit: Option<usize>,
    run: u32,
}

/// Answers with the log of a container.
///
/// # Errors
/// 404 without the pod, 400 when there is no such container or it has not run.
pub(super) fn read(core: &Core, call: &Call) -> Result<Reply, ApiStatus> {
    let resource = &call.resource;
    let (pod, now) = {
        let store = lock(&core.store);
        let pod = store.get(resource.collection(), &call.namespace, call.name()).cloned();
        (pod, store.clock().now())
    };
    let pod = pod.ok_or_else(|| ApiStatus::not_found(resource.group_resource(), call.name()))?;
    let container = choose(&pod, call)?;
    let place = (call.namespace.clone(), call.name().to_owned());
    let log = core.logs.get().and_then(|source| source(&place, &container));
    let Some(log) = log else {
        let all = ["containerStatuses", "initContainerStatuses"].map(|key| &pod["status"][key]);
        let mut all = all.into_iter().filter_map(Value::as_array).flatten();
        let status = all.find(|status| status["name"] == container.as_str());
        let reason = status.and_then(|it| it["state"]["waiting"]["reason"].as_str());
        // A simulated container writes nothing.
        if status.is_some() && reason.is_none() {
            return Ok(text(ApiBody::whole("")));
        }
        let reason = reason.unwrap_or("ContainerCreating");
        return Err(ApiStatus::bad_request(format!(
            "container \"{container}\" in pod \"{}\" is waiting to start: {reason}",
            call.name()
        )));
    };
    let options = Options::read(&call.query, &log, now);
    if options.run == 0 {
        return Err(ApiStatus::bad_request(format!(
            "previous terminated container \"{container}\" in pod \"{}\" not found",
            call.name()
        )));
    }
    Ok(text(ApiBody::stream(stream(log, options))))
}

fn text(body: ApiBody) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = StatusCode::OK;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    reply
}

/// The container that is asked for, or the only one.
fn choose(pod: &Value, call: &Call) -> Result<String, ApiStatus> {
    let list = |key: &str| {
        let all = pod["spec"][key].as_array().into_iter().flatten();
        let names = all.filter_map(|container| container["name"].as_str());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let (main, init) = (list("containers"), list("initContainers"));
    let name = call.name();
    match (call.query.other("container").filter(|asked| !asked.is_empty()), main.as_slice()) {
        (Some(asked), _) if main.iter().chain(&init).any(|it| it == asked) => Ok(asked.to_owned()),
        (Some(asked), _) => {
            Err(ApiStatus::bad_request(format!("container {asked} is not valid for pod {name}")))
        }
        (None, [only]) => Ok(only.clone()),
        (None, several) => Err(ApiStatus::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            several.join(" ")
        ))),
    }
}

impl Options {
    fn read(query: &Query, log: &ContainerLog, now: Timestamp) -> Self {
        let flag = |key: &str| query.other(key).is_some_and(|text| text == "true" || text == "1");
        let number = |key: &str| query.other(key).and_then(|text| text.parse().ok());
        let seconds = query.other("sinceSeconds").and_then(|text| text.parse().ok());
        let since = seconds.and_then(|it| now.checked_sub(SignedDuration::from_secs(it)).ok());
        Self {
            follow: flag("follow") && !flag("previous"),
            timestamps: flag("timestamps"),
            tail: number("tailLines"),
            since: since.or_else(|| query.other("sinceTime")?.parse().ok()),
            limit: number("limitBytes"),
            run: if flag("previous") { log.run().saturating_sub(1) } else { log.run() },
        }
    }

    fn takes(&self, line: &LogLine) -> bool {
        line.run == self.run && self.since.is_none_or(|since| line.at >= since)
    }
}

/// The lines that there are, and then, when they are followed, those that come until the container
/// ends.
fn stream(
    log: ContainerLog,
    options: Options,
) -> impl Stream<Item = Result<Bytes, TransportError>> + Send {
    // Before the first look, so that nothing comes in between unseen.
    let changed = log.subscribe();
    let reader = Reader { log, options, changed, position: 0, is_first: true, is_over: false };
    futures::stream::unfold(reader, |mut reader| async move {
        let bytes = reader.next().await?;
        Some((Ok(bytes), reader))
    })
}

struct Reader {
    log: ContainerLog,
    options: Options,
    changed: watch::Receiver<()>,
    position: usize,
    is_first: bool,
    is_over: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over && self.options.limit != Some(0) {
            self.changed.mark_unchanged();
            let news = self.log.since(self.position);
            self.position = news.position;
            let mut lines = news.lines;
            lines.retain(|line| self.options.takes(line));
            if let Some(tail) = self.options.tail.filter(|_| self.is_first) {
                lines.drain(..lines.len().saturating_sub(tail));
            }
            self.is_first = false;
            self.is_over =
                !self.options.follow || news.is_over || self.log.run() != self.options.run;
            if !lines.is_empty() {
                return Some(render(&lines, &mut self.options));
            }
            if !self.is_over && self.changed.changed().await.is_err() {
                return None;
            }
        }
        None
    }
}

fn render(lines: &[LogLine], options: &mut Options) -> Bytes {
    let mut text = String::new();
    for line in lines {
        if options.timestamps {
            text.push_str(&line.at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ ").to_string());
        }
        text.push_str(&line.text);
        text.push('\n');
    }
    let mut bytes = text.into_bytes();
    if let Some(limit) = &mut options.limit {
        bytes.truncate(*limit);
        *limit -= bytes.len();
    }
    Bytes::from(bytes)
}
