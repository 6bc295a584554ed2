//! What would run on other machines than the proxy.

use std::process::Command;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

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
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
