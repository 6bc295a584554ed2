//! What would run on other machines than the proxy.

use std::process::Command;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

/// The turns of one sender.
pub(crate) type Turns = UnboundedReceiver<()>;

/// Threads that run only while nobody else wants a processor.
pub(crate) struct Elsewhere(Option<Runtime>);

impl Elsewhere {
    pub(crate) fn new() -> Self {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).enable_all();
        builder.on_thread_start(|| {
            let own = std::fs::read_link("/proc/thread-self").expect("Linux");
            let thread = own.file_name().expect("the id of this thread");
            let idle = Command::new("chrt").args(["--idle", "--pid", "0"]).arg(thread).status();
            assert!(idle.expect("chrt, of util-linux").success());
        });
        Self(Some(builder.build().expect("threads")))
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.as_ref().expect("it was not dropped").spawn(work)
    }

    /// Hands so many senders their turns one after the other, evenly spread over `within`. The timers of
    /// a runtime would make all who are due in a millisecond send at once.
    pub(crate) fn turns(&self, senders: u64, count: u64, within: Duration) -> Vec<Turns> {
        let (hands, turns): (Vec<_>, Vec<_>) = (0..senders).map(|_| unbounded_channel()).unzip();
        self.0.as_ref().expect("it was not dropped").spawn_blocking(move || {
            let start = Instant::now();
            for (nth, hand) in (0..count).zip(hands.iter().cycle()) {
                let due = within.mul_f64(nth as f64 / count as f64);
                std::thread::sleep(due.saturating_sub(start.elapsed()));
                if hand.send(()).is_err() {
                    return;
                }
            }
        });
        turns
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
