//! The tower layer: counts requests to the end of their bodies and asks
//! HTTP/1 clients to reconnect elsewhere.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use http::{Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{body::Holding, counter::Place, handle::ShutdownHandle, leave::Leave, shared::Shared};

impl ShutdownHandle {
    /// Returns the layer that makes requests known to this shutdown.
    ///
    /// Enough on its own with any tower based server that is given
    /// [`stop_accepting`](Self::stop_accepting) as its shutdown signal.
    #[must_use]
    pub fn layer(&self) -> DrainLayer {
        DrainLayer { shared: Arc::clone(&self.shared) }
    }
}

/// Makes [`DrainService`]s.
#[derive(Debug, Clone)]
pub struct DrainLayer {
    shared: Arc<Shared>,
}

impl<S> Layer<S> for DrainLayer {
    type Service = DrainService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DrainService { inner, shared: Arc::clone(&self.shared) }
    }
}

/// Counts each request from its call to the end of its response body.
///
/// # Guarantees
///
/// A request is counted before the inner service is called and until its body
/// has ended or was dropped. While the process drains, HTTP/1 responses carry
/// `Connection: close`; HTTP/2 responses never do. No request is ever refused.
///
/// # Cost
///
/// One atomic increment and one decrement on a line that the thread has to
/// itself, and three loads; no allocation, nothing to subscribe to. axum's
/// `Router::layer` adds to that of any layer: it boxes what it wraps.
#[derive(Debug, Clone)]
pub struct DrainService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, Req, Res> Service<Request<Req>> for DrainService<S>
where
    S: Service<Request<Req>, Response = Response<Res>>,
{
    type Response = Response<DrainBody<Res>>;
    type Error = S::Error;
    type Future = DrainFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<Req>) -> Self::Future {
        // The place comes before the inner call and before the phase is read:
        // see the handshake in the counter module.
        let place = self.shared.requests.enter();
        note_call(&self.shared, &request);
        if place.is_shutting_down() {
            note_arrival(&self.shared, &request);
        }
        DrainFuture {
            leave: Leave::of(&request),
            inner: self.inner.call(request),
            place: Some(place),
        }
    }
}

/// Notes that somebody calls, which costs no more than a look once it is known.
pub(crate) fn note_call<B>(shared: &Shared, request: &Request<B>) {
    if !shared.called.load(Ordering::Relaxed) && !is_probe(shared, request) {
        shared.called.store(true, Ordering::Relaxed);
    }
}

/// Counts a request as traffic that has not moved away, where connections,
/// which would tell better, are not tracked.
fn note_arrival<B>(shared: &Shared, request: &Request<B>) {
    if !shared.tracks_connections.load(Ordering::Relaxed) && !is_probe(shared, request) {
        shared.arrivals.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns whether the request is one of the kubelet's, which keep coming to the end.
pub(crate) fn is_probe<B>(shared: &Shared, request: &Request<B>) -> bool {
    let agent = request.headers().get(header::USER_AGENT);
    agent.is_some_and(|agent| agent.as_bytes().starts_with(b"kube-probe/"))
        || shared.settings.probe_paths.iter().any(|path| path == request.uri().path())
}

pin_project! {
    /// The future of [`DrainService`].
    #[derive(Debug)]
    pub struct DrainFuture<F> {
        #[pin]
        inner: F,
        place: Option<Place>,
        leave: Leave,
    }
}

impl<F, B, E> Future for DrainFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<DrainBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let place = this.place.take();
        if place.as_ref().is_some_and(Place::wants_close) {
            this.leave.ask(&mut response);
        }
        Poll::Ready(Ok(response.map(|inner| DrainBody { inner: Holding::new(inner, place) })))
    }
}

pin_project! {
    /// The response body of [`DrainService`]; the request counts until it has ended.
    #[derive(Debug)]
    pub struct DrainBody<B> {
        #[pin]
        inner: Holding<B, Place>,
    }
}

impl<B: Default> Default for DrainBody<B> {
    fn default() -> Self {
        Self { inner: Holding::new(B::default(), None) }
    }
}

impl<B: Body> Body for DrainBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;
