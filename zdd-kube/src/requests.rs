//! Sends requests: each within a time limit, each with a known end.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::api::{
    DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::client::{Body, Client};
use kube::core::{ObjectList, Status};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::{Answer, Effect, Failure, What};
use crate::names::MANAGER;
use crate::resource::Resource;

/// How long a request may take unless it is set.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is sent that the server sends away with a time to come back.
const TURNED_AWAY: usize = 3;
/// The longest that the server's wish for a pause is followed.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// As many objects per page as client-go asks for.
const PAGE: u32 = 500;

/// Whether a write is to be tried out only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Run {
    Dry,
    Real,
}

/// Sends requests to one cluster. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Requests {
    client: Client,
    timeout: Duration,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// What is asked, for errors.
struct Call {
    verb: &'static str,
    object: String,
    effect: Effect,
}

impl Requests {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, timeout: TIMEOUT }
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Reads an object with full consistency; `None` when it does not exist.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<T>, Failure> {
        let call = Call::read("get", resource.named(namespace, name));
        let request = builder(resource, namespace).get(name, &GetParams::default());
        match self.send(&call, request).await {
            Ok(object) => Ok(Some(object)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Reads all objects that the label selector matches, with full consistency.
    pub(crate) async fn list<T: DeserializeOwned + Clone>(
        &self,
        resource: Resource,
        namespace: &str,
        labels: Option<&str>,
    ) -> Result<Vec<T>, Failure> {
        let label_selector = labels.map(str::to_owned);
        let params = ListParams { label_selector, ..ListParams::default() };
        self.pages(resource, namespace, params).await
    }

    /// Reads all objects whose fields are as selected, page by page.
    pub(crate) async fn list_fields<T: DeserializeOwned + Clone>(
        &self,
        resource: Resource,
        namespace: &str,
        fields: &str,
    ) -> Result<Vec<T>, Failure> {
        self.pages(resource, namespace, ListParams::default().fields(fields)).await
    }

    async fn pages<T: DeserializeOwned + Clone>(
        &self,
        resource: Resource,
        namespace: &str,
        params: ListParams,
    ) -> Result<Vec<T>, Failure> {
        let call = Call::read("list", resource.all(namespace));
        let mut params = params.limit(PAGE);
        let mut objects = Vec::new();
        loop {
            let request = builder(resource, namespace).list(&params);
            let page: ObjectList<T> = self.send(&call, request).await?;
            objects.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(objects),
            }
        }
    }

    /// Makes an object.
    pub(crate) async fn create<T: DeserializeOwned>(
        &self,
        resource: Resource,
        namespace: &str,
        object: &Value,
    ) -> Result<T, Failure> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let call = Call::write("create", resource.named(namespace, name));
        let params = PostParams { dry_run: false, field_manager: Some(MANAGER.to_owned()) };
        let request = builder(resource, namespace).create(&params, object.to_string().into_bytes());
        self.send(&call, request).await
    }

    /// Asks the server a question by "creating" a review, which leaves nothing behind.
    pub(crate) async fn review<T: DeserializeOwned>(
        &self,
        resource: Resource,
        review: &Value,
    ) -> Result<T, Failure> {
        let call = Call::read("create", resource.plural.to_owned());
        let request = kube::core::Request::new(resource.path(None))
            .create(&PostParams::default(), review.to_string().into_bytes());
        self.send(&call, request).await
    }

    /// Changes an object.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        resource: Resource,
        (namespace, name): (&str, &str),
        patch: &Patch<Value>,
        run: Run,
    ) -> Result<T, Failure> {
        let call = Call::write("patch", resource.named(namespace, name));
        let params = PatchParams {
            dry_run: run == Run::Dry,
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = builder(resource, namespace).patch(name, &params, patch);
        self.send(&call, request).await
    }

    /// Deletes an object, on condition that it is the one meant.
    pub(crate) async fn delete(
        &self,
        resource: Resource,
        (namespace, name): (&str, &str),
        preconditions: Preconditions,
    ) -> Result<(), Failure> {
        let call = Call::write("delete", resource.named(namespace, name));
        let params = DeleteParams::default().preconditions(preconditions);
        let request = builder(resource, namespace).delete(name, &params);
        self.send::<Value>(&call, request).await.map(drop)
    }

    /// Sends a request, again when the server names a time to come back: it has done nothing then.
    async fn send<T: DeserializeOwned>(
        &self,
        call: &Call,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, Failure> {
        let request = request
            .map_err(|error| call.failed(What::NotSent(kube::Error::BuildRequest(error).into())))?;
        let (parts, body) = request.into_parts();
        let mut tries = 0;
        loop {
            tries += 1;
            let again = Request::from_parts(parts.clone(), Body::from(body.clone()));
            let failure = match self.send_once(call, again).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let turned_away = |answer: &Answer| answer.code == StatusCode::TOO_MANY_REQUESTS;
            let pause = failure.answer().filter(|answer| turned_away(answer));
            let Some(pause) = pause.and_then(|answer| answer.retry_after) else {
                return Err(failure);
            };
            if tries >= TURNED_AWAY {
                return Err(failure);
            }
            tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
        }
    }

    async fn send_once<T: DeserializeOwned>(
        &self,
        call: &Call,
        request: Request<Body>,
    ) -> Result<T, Failure> {
        let exchange = async {
            let response = self.client.send(request).await?;
            let (parts, body) = response.into_parts();
            Ok((parts, body.collect().await?.to_bytes()))
        };
        let answer = tokio::time::timeout(self.timeout, exchange).await;
        let (parts, body) = answer
            .map_err(|_| call.failed(What::Late(self.timeout)))?
            .map_err(|error: kube::Error| call.failed(classify(error)))?;
        if !parts.status.is_success() {
            return Err(call.failed(What::Answered(refusal(parts.status, &parts.headers, &body))));
        }
        serde_json::from_slice(&body).map_err(|error| call.failed(What::Unreadable(error.into())))
    }
}

impl Call {
    fn read(verb: &'static str, object: String) -> Self {
        Self { verb, object, effect: Effect::Read }
    }

    fn write(verb: &'static str, object: String) -> Self {
        Self { verb, object, effect: Effect::Write }
    }

    fn failed(&self, what: What) -> Failure {
        Failure { verb: self.verb, object: self.object.clone(), effect: self.effect, what }
    }
}

fn builder(resource: Resource, namespace: &str) -> kube::core::Request {
    kube::core::Request::new(resource.path(Some(namespace)))
}

/// Reads the server's refusal: a `Status`, or plain text from what stands before the server.
fn refusal(code: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    let status = serde_json::from_slice::<Status>(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        Status::failure(text.trim(), "").with_code(code.as_u16())
    });
    let seconds =
        headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let details = || status.details.as_ref().map(|details| u64::from(details.retry_after_seconds));
    let retry_after = seconds.or_else(|| details().filter(|seconds| *seconds > 0));
    Answer { code, message: status.message, retry_after: retry_after.map(Duration::from_secs) }
}

/// Takes a refusal that kube has read.
pub(crate) fn answered(status: Status) -> What {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    What::Answered(Answer { code, message: status.message, retry_after: None })
}

/// Tells requests that never left from those that may have arrived.
pub(crate) fn classify(error: kube::Error) -> What {
    if let kube::Error::Api(status) = error {
        return answered(*status);
    }
    let not_sent = matches!(
        error,
        kube::Error::Auth(_)
            | kube::Error::BuildRequest(_)
            | kube::Error::HttpError(_)
            | kube::Error::InferConfig(_)
            | kube::Error::InferKubeconfig(_)
            | kube::Error::ProxyProtocolDisabled { .. }
            | kube::Error::ProxyProtocolUnsupported { .. }
            | kube::Error::TlsRequired
    );
    if not_sent || was_refused(&error) {
        What::NotSent(error.into())
    } else {
        What::Broken(error.into())
    }
}

/// Tells whether nobody listened.
fn was_refused(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind == Some(std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}
