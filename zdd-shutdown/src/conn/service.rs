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

use crate::{body::Holding, conn::Conn, counter::Place, layer::is_probe, leave::Leave};

/// The response body as hyper sees it; the request counts until it has ended.
type CountedBody<B> = Holding<B, Ticket>;

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
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = CallFuture<S>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        // Counted before the phase is read: see the counter module.
        let place = self.conn.shared.requests.enter();
        self.conn.request_began(&request);
        let ticket = Ticket { place, conn: Arc::clone(&self.conn), responding: false };
        if ticket.place.is_shutting_down() && !is_probe(&self.conn.shared, &request) {
            self.conn.arrive();
        }
        if let (Some(tell), Some(address)) = (self.connect_info, self.conn.peer.address()) {
            tell(request.extensions_mut(), address);
        }
        let leave = Leave::of(&request);
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
    }
}

impl<S, B> Future for CallFuture<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
{
    type Output = Result<Response<CountedBody<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Ready { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let request = request.take().expect("state changes in the same poll");
                    let future = service.call(request);
                    this.state.set(State::Called { future });
                }
                StateProj::Called { future } => {
                    let mut response = ready!(future.poll(cx))?;
                    let mut ticket = this.ticket.take();
                    if let Some(ticket) = &mut ticket {
                        ticket.response_began();
                    }
                    if ticket.as_ref().is_some_and(|ticket| ticket.place.wants_close()) {
                        this.leave.ask(&mut response);
                    }
                    return Poll::Ready(Ok(response.map(|inner| Holding::new(inner, ticket))));
                }
            }
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
