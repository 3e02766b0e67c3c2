//! The order to stop a container: a deadline that can only come nearer.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Long enough to mean never, short enough for arithmetic on instants.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// The stop orders of one container.
#[derive(Clone, Debug)]
pub(super) struct Orders(watch::Sender<Option<Instant>>);

impl Orders {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Orders to stop within `grace` from now. A later order with less time left shortens an
    /// earlier one; one with more time changes nothing.
    pub(super) fn stop(&self, grace: Duration) {
        let deadline = Instant::now() + grace.min(FOREVER);
        self.0.send_if_modified(|current| {
            let sooner = current.is_none_or(|current| deadline < current);
            if sooner {
                *current = Some(deadline);
            }
            sooner
        });
    }

    /// Waits for the first order.
    pub(super) async fn ordered(&self) {
        // The sender is alive as long as `self`, so that the wait cannot fail.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until the deadline, or `earliest` if that is later, also when the deadline is moved.
    /// Without an order it waits for one.
    pub(super) async fn expired(&self, earliest: Instant) {
        let mut orders = self.0.subscribe();
        loop {
            let deadline = *orders.borrow_and_update();
            let expired = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline.max(earliest)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = expired => return,
                _ = orders.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_later_order_shortens_the_grace_but_never_lengthens_it() {
        let (start, orders) = (Instant::now(), Orders::new());
        orders.stop(30 * SECOND);
        orders.stop(60 * SECOND);
        let shorten = async {
            tokio::time::sleep(5 * SECOND).await;
            orders.stop(SECOND);
        };
        tokio::join!(orders.expired(start), shorten);
        assert_eq!(start.elapsed(), 6 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_not_before_the_earliest_instant() {
        let (start, orders) = (Instant::now(), Orders::new());
        orders.stop(Duration::ZERO);
        orders.expired(start + 2 * SECOND).await;
        assert_eq!(start.elapsed(), 2 * SECOND);
    }
}
