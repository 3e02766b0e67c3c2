//! A future that is polled beside one that is busy.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll, Wake, Waker},
};

use pin_project_lite::pin_project;

pin_project! {
    /// Polls a future only when it asked for that, however often its task wakes
    /// for something else.
    ///
    /// A connection waits for the shutdown all its life. To ask at each of its
    /// requests would take locks each time that it shares with other connections.
    pub(crate) struct Rarely<F> {
        #[pin]
        future: F,
        alarm: Option<Alarm>,
    }
}

/// The waker that the future has, in the two forms that are needed.
struct Alarm {
    bell: Arc<Bell>,
    waker: Waker,
}

struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl<F> Rarely<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future, alarm: None }
    }
}

impl<F: Future> Future for Rarely<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let alarm = match this.alarm {
            Some(alarm) if alarm.bell.task.will_wake(cx.waker()) => {
                // Looked at first: while nothing happens, nothing is written.
                if !alarm.bell.rung.load(Relaxed) {
                    return Poll::Pending;
                }
                alarm.bell.rung.swap(false, Acquire);
                alarm
            }
            alarm => alarm.insert(Alarm::new(cx.waker())),
        };
        this.future.poll(&mut Context::from_waker(&alarm.waker))
    }
}

impl Alarm {
    fn new(task: &Waker) -> Self {
        let bell = Arc::new(Bell { rung: AtomicBool::new(false), task: task.clone() });
        Self { waker: Waker::from(Arc::clone(&bell)), bell }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::atomic::AtomicUsize};

    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_asked_to_be_and_no_sooner() {
        let polls = AtomicUsize::new(0);
        let value = watch::Sender::new(0);
        let mut receiver = value.subscribe();
        let mut waiting = std::pin::pin!(receiver.wait_for(|value| *value == 2));
        let counted = poll_fn(|cx| {
            polls.fetch_add(1, Relaxed);
            waiting.as_mut().poll(cx).map(drop)
        });
        let mut rarely = std::pin::pin!(Rarely::new(counted));
        let mut poll = async || poll_fn(|cx| Poll::Ready(rarely.as_mut().poll(cx))).await;
        for _ in 0..3 {
            assert!(poll().await.is_pending());
        }
        assert_eq!(polls.load(Relaxed), 1);
        // Not what it waits for, so that it has to be asked to go on waiting.
        value.send_replace(1);
        for _ in 0..3 {
            assert!(poll().await.is_pending());
        }
        assert_eq!(polls.load(Relaxed), 2);
        value.send_replace(2);
        assert!(poll().await.is_ready());
    }

    #[tokio::test]
    async fn it_wakes_the_task_that_polled_it_last() {
        let value = watch::Sender::new(false);
        let mut receiver = value.subscribe();
        let mut rarely = std::pin::pin!(Rarely::new(receiver.wait_for(|value| *value)));
        let first = rarely.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(first.is_pending());
        let send = async {
            tokio::task::yield_now().await;
            value.send_replace(true);
        };
        let (woken, ()) = tokio::join!(rarely, send);
        assert!(*woken.unwrap());
    }
}
