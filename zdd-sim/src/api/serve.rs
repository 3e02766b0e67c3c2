//! One request on its way through authorization, faults and the server.

use std::future::pending;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use std::task::{Context, Poll};
use tower_service::Service;

use super::calls::CallKey;
use super::error::TransportError;
#[cfg(feature = "serve")]
use super::protobuf;
use super::reply::{ApiBody, Reply, refusal};
use super::request::{Call, Route};
use super::status::ApiStatus;
use super::{ApiServer, lock, request, watch};
use crate::api::{Freshness, Verb};
use crate::fault::{Fault, Faults, Seen, delay, drop_after, while_up};

impl<B> Service<Request<B>> for ApiServer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<ApiBody>;
    type Error = TransportError;
    type Future = BoxFuture<'static, Result<Response<ApiBody>, TransportError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.clone();
        let (parts, body) = request.into_parts();
        // Counted here, not when the future is polled: the order of calls is the order of plans.
        let route = server.route(&parts);
        let fault = server.count(&parts, route.as_ref().ok());
        Box::pin(async move {
            if server.faults.as_ref().is_some_and(Faults::has_crashed) {
                return pending().await;
            }
            let body = body.collect().await.map_err(|_| TransportError::Body)?.to_bytes();
            let body = match translated(&parts, body) {
                Ok(body) => body,
                Err(status) if matches!(route, Ok(Route::Objects(_))) => {
                    return Ok(refusal(&status));
                }
                // Where the path leads nowhere, that is the thing to tell.
                Err(_) => Bytes::new(),
            };
            if !*server.core.up.borrow() {
                return Err(TransportError::Closed);
            }
            let stays = matches!(&route, Ok(Route::Objects(call)) if call.verb == Verb::Watch);
            let reply = match fault {
                None => server.answer(route, &parts, &body, None),
                Some(fault) => server.answer_with(&fault, route, &parts, &body).await?,
            };
            if !stays {
                return Ok(reply);
            }
            let up = server.core.up.subscribe();
            Ok(reply.map(|body| ApiBody::stream(while_up(body.into_stream(), up))))
        })
    }
}

impl ApiServer {
    fn route(&self, parts: &http::request::Parts) -> Result<Route, ApiStatus> {
        self.core.follow_definitions();
        let resources = self.core.resources();
        let query = parts.uri.query().unwrap_or_default();
        request::route(&resources, &parts.method, parts.uri.path(), query)
    }

    /// Counts a request for objects; returns the fault that it meets.
    fn count(&self, parts: &http::request::Parts, route: Option<&Route>) -> Option<Fault> {
        let Some(Route::Objects(call)) = route else { return None };
        let agent = parts.headers.get(http::header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let target = call.target();
        self.core.calls.count(CallKey {
            user: self.user.to_string(),
            agent: agent.to_owned(),
            verb: call.verb,
            target: target.clone(),
        });
        let faults = self.faults.as_ref()?;
        let (name, freshness) = (call.name().to_owned(), call.freshness());
        faults.meet(Seen { verb: call.verb, target, name, freshness })
    }

    /// Answers a request that meets a fault.
    async fn answer_with(
        &self,
        fault: &Fault,
        route: Result<Route, ApiStatus>,
        parts: &http::request::Parts,
        body: &[u8],
    ) -> Result<Reply, TransportError> {
        let effect = |as_of: Option<u64>| self.answer(route.clone(), parts, body, as_of);
        Ok(match fault {
            Fault::Conflict => refusal(&conflict(&route)),
            Fault::CrashAfter => {
                drop(effect(None));
                return self.crash().await;
            }
            Fault::CrashBefore => return self.crash().await,
            Fault::DropAfter => {
                drop(effect(None));
                return Err(TransportError::Closed);
            }
            Fault::DropBefore => return Err(TransportError::Closed),
            Fault::ErrorAfter { status } => {
                drop(effect(None));
                refusal(&generic(*status))
            }
            Fault::ErrorBefore { status } => refusal(&generic(*status)),
            Fault::Gone => self.gone_reply(&route),
            Fault::GoneHttp => refusal(&self.gone_status()),
            Fault::HangAfter => {
                drop(effect(None));
                return pending().await;
            }
            Fault::HangBefore => return pending().await,
            Fault::Stale { revisions } => effect(Some(self.past(&route, *revisions))),
            Fault::TooManyRequests { retry_after } => {
                refusal(&ApiStatus::too_many_requests(*retry_after))
            }
            Fault::WatchDrop { events } => {
                effect(None).map(|body| ApiBody::stream(drop_after(body.into_stream(), *events)))
            }
            Fault::WatchStale { delay: by } => {
                effect(None).map(|body| ApiBody::stream(delay(body.into_stream(), *by)))
            }
        })
    }

    /// The revision at which a server is that lags, and that has waited for what the client knows.
    fn past(&self, route: &Result<Route, ApiStatus>, revisions: u64) -> u64 {
        let now = lock(&self.core.store).revision();
        let known = match route.as_ref().ok() {
            Some(Route::Objects(call)) => match call.freshness() {
                Freshness::Any { not_before } => not_before.min(now),
                Freshness::Newest | Freshness::Pinned => now,
            },
            Some(Route::Document(_)) | None => now,
        };
        now.saturating_sub(revisions).max(known).max(1)
    }

    /// The client is dead: it hears nothing any more.
    async fn crash(&self) -> Result<Reply, TransportError> {
        if let Some(faults) = &self.faults {
            faults.crash();
        }
        pending().await
    }

    fn gone_status(&self) -> ApiStatus {
        let revision = lock(&self.core.store).revision();
        ApiStatus::too_old(revision.saturating_sub(1), revision)
    }

    /// A watch is told by an event, a list by the status of the answer.
    fn gone_reply(&self, route: &Result<Route, ApiStatus>) -> Reply {
        let status = self.gone_status();
        match route {
            Ok(Route::Objects(call)) if call.verb == Verb::Watch => {
                Response::new(ApiBody::whole(watch::error_line(&status)))
            }
            Ok(_) | Err(_) => refusal(&status),
        }
    }
}

/// Brings a body that is not JSON into it.
#[cfg(feature = "serve")]
fn translated(parts: &http::request::Parts, body: Bytes) -> Result<Bytes, ApiStatus> {
    let media = parts.headers.get(http::header::CONTENT_TYPE);
    if media.is_some_and(|media| media == protobuf::MEDIA) && !body.is_empty() {
        return protobuf::to_json(&body).map(Bytes::from);
    }
    Ok(body)
}

/// Without the feature `serve` there is no other format than JSON.
#[cfg(not(feature = "serve"))]
#[expect(clippy::unnecessary_wraps, reason = "as with the feature `serve`")]
fn translated(_: &http::request::Parts, body: Bytes) -> Result<Bytes, ApiStatus> {
    Ok(body)
}

fn conflict(route: &Result<Route, ApiStatus>) -> ApiStatus {
    match route {
        Ok(Route::Objects(call)) => {
            let call: &Call = call;
            ApiStatus::modified(call.resource.group_resource(), call.name())
        }
        Ok(Route::Document(_)) | Err(_) => ApiStatus::generic(StatusCode::CONFLICT),
    }
}

fn generic(status: u16) -> ApiStatus {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    ApiStatus::generic(code)
}
