//! Response bodies that would never end.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::handle::ShutdownHandle;

impl ShutdownHandle {
    /// Ends an endless response body properly when the process drains, between
    /// two of its frames: for server-sent events and the like.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// use axum::response::{IntoResponse, Sse, sse::Event};
    /// use futures::stream;
    /// use zdd_shutdown::ShutdownHandle;
    ///
    /// async fn events(shutdown: ShutdownHandle) -> impl IntoResponse {
    ///     let ticks = stream::repeat_with(|| Ok::<_, Infallible>(Event::default().data("tick")));
    ///     Sse::new(ticks).into_response().map(|body| shutdown.end_on_drain(body))
    /// }
    /// ```
    ///
    /// The client sees a complete response and comes back, to another pod. A body
    /// that has to say goodbye itself waits for [`draining`](Self::draining). Not
    /// for bodies with a `content-length`, whose clients would miss the rest.
    pub fn end_on_drain<B>(&self, body: B) -> EndOnDrain<B> {
        let handle = self.clone();
        let draining = Box::pin(async move { handle.draining().await });
        EndOnDrain { inner: body, draining: Some(draining) }
    }
}

type Draining = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

pin_project! {
    /// A body that ends when the process drains; see [`ShutdownHandle::end_on_drain`].
    #[must_use = "the body is what ends"]
    pub struct EndOnDrain<B> {
        #[pin]
        inner: B,
        // None once it has happened.
        draining: Option<Draining>,
    }
}

impl<B: Body> Body for EndOnDrain<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        // First, since a body that always has more would never let it in.
        let Some(draining) = this.draining else { return Poll::Ready(None) };
        if draining.as_mut().poll(cx).is_ready() {
            *this.draining = None;
            return Poll::Ready(None);
        }
        this.inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.draining.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // It can end at any time.
        SizeHint::default()
    }
}

impl<B: fmt::Debug> fmt::Debug for EndOnDrain<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EndOnDrain").field(&self.inner).finish()
    }
}
