//! Requests below any client's ideas about errors: a code and a body come back.

use anyhow::Context;
use futures::{StreamExt, stream::BoxStream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// The groups of the resources that scripts name without one.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "apis/apps/v1",
        &["controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"],
    ),
    ("apis/autoscaling/v2", &["horizontalpodautoscalers"]),
    ("apis/batch/v1", &["jobs"]),
    ("apis/coordination.k8s.io/v1", &["leases"]),
    ("apis/discovery.k8s.io/v1", &["endpointslices"]),
    ("apis/policy/v1", &["poddisruptionbudgets"]),
];

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// Makes a path of the API from what scripts write: relative ones lead into a namespace.
pub(crate) fn uri(namespace: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let plural = path.split(['/', '?']).next().unwrap_or_default();
    let group = GROUPS.iter().find(|(_, plurals)| plurals.contains(&plural));
    let group = group.map_or("api/v1", |(group, _)| group);
    if matches!(plural, "namespaces" | "nodes") {
        return format!("/{group}/{path}");
    }
    format!("/{group}/namespaces/{namespace}/{path}")
}

/// Sends a request.
pub(crate) async fn send(
    client: &Client,
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> anyhow::Result<Answer> {
    read(open(client, method, uri, headers, body).await?).await
}

/// Reads an answer to its end.
pub(crate) async fn read(response: Response<Body>) -> anyhow::Result<Answer> {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.context("the answer broke off")?.to_bytes();
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    Ok(Answer { code: parts.status, headers: parts.headers, body })
}

/// Sends a request with a JSON body and expects success.
pub(crate) async fn expect(
    client: &Client,
    method: &str,
    uri: &str,
    content_type: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
    let answer = send(client, method, uri, &[("content-type", content_type)], bytes).await?;
    anyhow::ensure!(answer.code.is_success(), "{method} {uri}: {} {}", answer.code, answer.body);
    Ok(answer.body)
}

/// Sends a request whose answer is a stream of lines.
pub(crate) async fn open(
    client: &Client,
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> anyhow::Result<Response<Body>> {
    let mut request = Request::builder().method(method).uri(uri).header("user-agent", "fidelity");
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    let request =
        request.body(Body::from(body)).with_context(|| format!("cannot ask for {uri}"))?;
    client.send(request).await.with_context(|| format!("{method} {uri} was not answered"))
}

/// Splits a body into its JSON lines.
pub(crate) fn lines(body: Body) -> BoxStream<'static, anyhow::Result<Value>> {
    let state = (body.into_data_stream(), Vec::<u8>::new());
    let stream = futures::stream::try_unfold(state, |(mut body, mut held)| async move {
        loop {
            if let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                let value = serde_json::from_slice(&line).context("a line is not JSON")?;
                return Ok(Some((value, (body, held))));
            }
            match body.next().await {
                Some(chunk) => held.extend_from_slice(&chunk.context("the watch broke off")?),
                None => return Ok(None),
            }
        }
    });
    stream.boxed()
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn names_of_resources_lead_to_their_groups() {
        assert_eq!(uri("a", "pods/x"), "/api/v1/namespaces/a/pods/x");
        assert_eq!(uri("a", "deployments?x=1"), "/apis/apps/v1/namespaces/a/deployments?x=1");
        assert_eq!(uri("a", "nodes/n"), "/api/v1/nodes/n");
        assert_eq!(uri("a", "/version"), "/version");
    }
}
