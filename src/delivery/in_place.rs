//! Work that the task waiting for its end polls, and that goes on by itself once nothing waits: a
//! forwarding, or the live attempt of a `spill` route.
//!
//! A task of its own for each would cost every delivery two changes of task and a channel.

use crate::delivery::answer::DestinationOutcome;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What is done when work ends that nobody waits for any more.
type Unheard<T> = Box<dyn FnOnce(&T) + Send>;

/// Work under way. Waiting for it gives its end, or `None` if it panicked: its claim is in doubt then.
/// Dropped before, it goes on in a task.
pub(super) struct InPlace<T: Send + 'static = DestinationOutcome> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    unheard: Option<Unheard<T>>,
}

impl<T: Send + 'static> InPlace<T> {
    /// Does `work`, and lets `unheard` have its end if nobody waits for it.
    pub(super) fn new(
        work: impl Future<Output = T> + Send + 'static,
        unheard: impl FnOnce(&T) + Send + 'static,
    ) -> Self {
        Self { work: Some(Box::pin(work)), unheard: Some(Box::new(unheard)) }
    }
}

impl<T: Send + 'static> InPlace<Option<T>> {
    /// The same in a task of its own, for when something else has to be waited for first. The end is
    /// `Some(None)` if it panics.
    pub(super) fn in_a_task(mut self) -> Self {
        let (tell, told) = oneshot::channel();
        if let Some(work) = self.work.take() {
            tokio::spawn(async move { tell.send(work.await) });
        }
        Self::new(async move { told.await.ok().flatten() }, |_| {})
    }
}

impl<T: Send + 'static> Future for InPlace<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(work) = &mut self.work else { return Poll::Ready(None) };
        // What breaks in a forwarding must not take the sender's connection with it.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let end = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(end)) => Some(end),
            Err(_) => None,
        };
        self.work = None;
        Poll::Ready(end)
    }
}

impl<T: Send + 'static> Drop for InPlace<T> {
    fn drop(&mut self) {
        // Without a runtime the process is at its end, and the claim is left in doubt.
        if let (Some(work), Some(unheard), Ok(runtime)) =
            (self.work.take(), self.unheard.take(), Handle::try_current())
        {
            runtime.spawn(async move { unheard(&work.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::lifecycle::testing::all_wait;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::sync::Notify;
    use tokio::time::timeout;

    /// A forwarding that ends when it is let, and how often its end was heard of afterwards.
    fn held() -> (InPlace, Arc<Notify>, Arc<AtomicUsize>) {
        let (go_on, unheard) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (let_go, count) = (Arc::clone(&go_on), Arc::clone(&unheard));
        let work = async move {
            let_go.notified().await;
            DestinationOutcome::Queued
        };
        let in_place = InPlace::new(work, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        (in_place, go_on, unheard)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_told_the_end() {
        let (mut in_place, go_on, unheard) = held();
        assert!(timeout(Duration::from_secs(1), &mut in_place).await.is_err());
        go_on.notify_one();
        assert!(matches!((&mut in_place).await, Some(DestinationOutcome::Queued)));
        drop(in_place);
        all_wait().await;
        assert_eq!(unheard.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_when_nobody_waits_whether_or_not_it_had_begun() {
        for has_begun in [false, true] {
            let (mut in_place, go_on, unheard) = held();
            if has_begun {
                assert!(timeout(Duration::from_secs(1), &mut in_place).await.is_err());
            }
            drop(in_place);
            all_wait().await;
            assert_eq!(unheard.load(Ordering::SeqCst), 0);
            go_on.notify_one();
            all_wait().await;
            assert_eq!(unheard.load(Ordering::SeqCst), 1, "{has_begun}");
        }
    }

    #[test]
    fn at_the_end_of_the_process_it_is_dropped() {
        let (in_place, _, unheard) = held();
        drop(in_place);
        assert_eq!(unheard.load(Ordering::SeqCst), 0);
    }
}
