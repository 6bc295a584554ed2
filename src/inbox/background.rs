//! The thread that sends from the inbox.
//!
//! Nobody waits for an attempt from the inbox, and a backlog has thousands of them. On the threads that
//! serve, a live delivery would wait for those before it; on a thread of its own, the kernel lets both run.

use std::io;
use std::pin::Pin;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use tokio::runtime::Builder;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `work` and what it spawns on a thread of its own, which ends with `work`.
pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    match own_thread() {
        Ok(thread) => _ = thread.send(Box::pin(work)),
        Err(error) => {
            tracing::warn!(%error, "no thread for the inbox; those that serve send from it, too");
            tokio::spawn(work);
        }
    }
}

/// A thread that waits for its work.
fn own_thread() -> io::Result<SyncSender<Work>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (thread, handed_over) = sync_channel::<Work>(1);
    let run = move || handed_over.recv().map(|work| runtime.block_on(work));
    thread::Builder::new().name("inbox-send".to_owned()).spawn(run)?;
    Ok(thread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use tokio::task::yield_now;

    #[test]
    fn work_and_what_it_spawns_have_a_thread_that_ends_with_it() {
        let (says, said) = channel();
        let name = || thread::current().name().map(str::to_owned);
        spawn(async move {
            let spawned = tokio::spawn(async move {
                yield_now().await;
                name()
            });
            _ = says.send((name(), spawned.await.unwrap()));
        });
        let own = Some("inbox-send".to_owned());
        assert_eq!(said.recv().unwrap(), (own.clone(), own));
        // What the work held has gone with it.
        assert!(said.recv().is_err());
    }
}
