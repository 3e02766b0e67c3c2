//! The service that hyper calls: the program's own, with each request counted.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    body::Holding,
    conn::{Conn, driver::BoxError, refusal::Refusal},
    counter::Place,
    layer::{is_probe, note_call},
    leave::Leave,
};

/// Calls the program's service and keeps the books of the connection.
pub(crate) struct ConnService<S> {
    inner: S,
    conn: Arc<Conn>,
    connect_info: Option<fn(&mut Extensions, SocketAddr)>,
}

impl<S> ConnService<S> {
    pub(crate) fn new(
        inner: S,
        conn: Arc<Conn>,
        connect_info: Option<fn(&mut Extensions, SocketAddr)>,
    ) -> Self {
        Self { inner, conn, connect_info }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for ConnService<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>> + Clone,
{
    type Response = Response<CountedBody<B>>;
    type Error = BoxError;
    type Future = CallFuture<S>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        // Counted before the phase is read: see the counter module.
        let place = self.conn.shared.requests.enter();
        let leave = Leave::of(&request);
        note_call(&self.conn.shared, &request);
        if place.is_shutting_down() {
            if self.conn.shared.is_over() {
                place.give_up();
                self.conn.refuse();
                let state = State::Refused { refusal: Refusal::of(&request) };
                return CallFuture { state, ticket: None, leave };
            }
            if !is_probe(&self.conn.shared, &request) {
                self.conn.arrive();
            }
        }
        self.conn.request_began(&request);
        let ticket = Ticket { place, conn: Arc::clone(&self.conn), responding: false };
        if let (Some(tell), Some(address)) = (self.connect_info, self.conn.peer.address()) {
            tell(request.extensions_mut(), address);
        }
        let conn = Arc::clone(&self.conn);
        CallFuture {
            state: State::Ready {
                service: self.inner.clone(),
                request: Some(request.map(|inner| RequestBody { inner, conn, waiting: false })),
            },
            ticket: Some(ticket),
            leave,
        }
    }
}

/// One request in the books: of the process and of the connection.
#[derive(Debug)]
pub(crate) struct Ticket {
    place: Place,
    conn: Arc<Conn>,
    responding: bool,
}

impl Ticket {
    fn response_began(&mut self) {
        self.responding = true;
        self.conn.responding.fetch_add(1, Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.responding {
            self.conn.responding.fetch_sub(1, Relaxed);
        }
        self.conn.request_ended();
    }
}

pin_project! {
    pub(crate) struct CallFuture<S>
    where
        S: Service<Request<RequestBody>>,
    {
        #[pin]
        state: State<S, S::Future>,
        ticket: Option<Ticket>,
        leave: Leave,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F> {
        /// Waits for the service to be ready, which tower asks for.
        Ready { service: S, request: Option<Request<RequestBody>> },
        Called { #[pin] future: F },
        /// The time of requests is over.
        Refused { refusal: Refusal },
    }
}

impl<S, B> Future for CallFuture<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>>,
{
    type Output = Result<Response<CountedBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Ready { service, request } => {
                    ready!(service.poll_ready(cx)).map_err(Into::into)?;
                    let request = request.take().expect("state changes in the same poll");
                    let future = service.call(request);
                    this.state.set(State::Called { future });
                }
                StateProj::Called { future } => {
                    let mut response = ready!(future.poll(cx)).map_err(Into::into)?;
                    let mut ticket = this.ticket.take();
                    if let Some(ticket) = &mut ticket {
                        ticket.response_began();
                    }
                    if ticket.as_ref().is_some_and(|ticket| ticket.place.wants_close()) {
                        this.leave.ask(&mut response);
                    }
                    let counted = |inner| CountedBody::Answer { body: Holding::new(inner, ticket) };
                    return Poll::Ready(Ok(response.map(counted)));
                }
                StateProj::Refused { refusal } => return Poll::Ready(refusal.into_result()),
            }
        }
    }
}

pin_project! {
    /// The response body as hyper sees it; the request counts until it has ended.
    #[derive(Default)]
    #[project = CountedProj]
    pub(crate) enum CountedBody<B> {
        Answer { #[pin] body: Holding<B, Ticket> },
        /// That of a refusal.
        #[default]
        Empty,
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project() {
            CountedProj::Answer { body } => body.poll_frame(cx),
            CountedProj::Empty => Poll::Ready(None),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Answer { body } => body.is_end_stream(),
            Self::Empty => true,
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Answer { body } => body.size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}

/// The request body that [`Server`](crate::Server) hands to services.
///
/// It is hyper's own, which also tells the connection when a handler waits for
/// the client to send: only then is a silent client a stalled one.
#[derive(Debug)]
pub struct RequestBody {
    inner: Incoming,
    conn: Arc<Conn>,
    waiting: bool,
}

impl RequestBody {
    fn set_waiting(&mut self, waiting: bool) {
        if waiting != self.waiting {
            self.waiting = waiting;
            match waiting {
                true => self.conn.awaiting_body.fetch_add(1, Relaxed),
                false => self.conn.awaiting_body.fetch_sub(1, Relaxed),
            };
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.set_waiting(false);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let poll = Pin::new(&mut self.inner).poll_frame(cx);
        self.set_waiting(poll.is_pending());
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
