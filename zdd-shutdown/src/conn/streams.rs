//! The tasks of HTTP/2 streams, owned by their connection.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
};

use pin_project_lite::pin_project;
use tokio::task::JoinSet;

use crate::{conn::Conn, shared::lock};

/// Spawns the streams of one HTTP/2 connection, counts those that run, and ends
/// them with their connection. Named by [`Server::http2`](crate::Server::http2) only.
#[derive(Debug, Clone)]
pub struct StreamTasks {
    tasks: Arc<Mutex<JoinSet<()>>>,
    conn: Arc<Conn>,
}

impl StreamTasks {
    pub(crate) fn new(conn: Arc<Conn>) -> Self {
        Self { tasks: Arc::default(), conn }
    }

    /// Returns what ends all streams when it is dropped. Necessary, since each holds a clone of
    /// this value: dropping the connection alone would leave them running.
    pub(crate) fn owner(&self) -> Owner {
        Owner(Arc::clone(&self.tasks))
    }
}

/// Ends the streams of a connection with it, also when the server is dropped.
pub(crate) struct Owner(Arc<Mutex<JoinSet<()>>>);

impl Drop for Owner {
    fn drop(&mut self) {
        lock(&self.0).abort_all();
    }
}

impl<F> hyper::rt::Executor<F> for StreamTasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.conn.streams.fetch_add(1, Relaxed);
        let counted = Counted { stream, _one: One(Arc::clone(&self.conn)) };
        if self.conn.shared.is_over() {
            return self.execute_now(Box::pin(counted));
        }
        self.spawn(counted);
    }
}

impl StreamTasks {
    /// Polls a stream before its connection goes on. The connection is not
    /// polled again, and this is how the refusal of a stream still gets out.
    fn execute_now<F>(&self, mut stream: Pin<Box<F>>)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let waker = Waker::noop();
        if stream.as_mut().poll(&mut Context::from_waker(waker)).is_pending() {
            self.spawn(stream);
        }
    }

    fn spawn(&self, counted: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(counted);
    }
}

pin_project! {
    struct Counted<F> {
        #[pin]
        stream: F,
        _one: One,
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().stream.poll(cx).map(drop)
    }
}

struct One(Arc<Conn>);

impl Drop for One {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
    }
}
