//! Work that runs to completion, even if no one waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Work that has been started. Waiting for it gives its output, or `None` if its task was killed;
/// not waiting for it does not stop it.
pub(super) enum StartedWork<V> {
    /// It did not have to wait.
    Done(Option<V>),
    /// It continues in a separate task.
    Task(JoinHandle<V>),
    /// Without a runtime it continues in the task that waits for it.
    Here(Pin<Box<dyn Future<Output = V> + Send>>),
}

impl<V: Send + 'static> StartedWork<V> {
    /// Starts `work`: polls it once here, and lets `runtime` do the rest.
    pub(super) fn start(
        work: impl Future<Output = V> + Send + 'static,
        runtime: Option<&Handle>,
    ) -> Self {
        let mut work = Box::pin(work);
        let _timers = runtime.map(Handle::enter);
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Self::Done(Some(output)),
            Poll::Pending => match runtime {
                Some(runtime) => Self::Task(runtime.spawn(work)),
                None => Self::Here(work),
            },
        }
    }
}

impl<V> Unpin for StartedWork<V> {}

impl<V> Future for StartedWork<V> {
    type Output = Option<V>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<V>> {
        match &mut *self {
            Self::Done(output) => Poll::Ready(output.take()),
            Self::Task(task) => Pin::new(task).poll(context).map(Result::ok),
            Self::Here(work) => work.as_mut().poll(context).map(Some),
        }
    }
}
