//! Work that a connection cannot leave half done.

/// Runs changes in a separate task, so that a connection that is closed half-way does not leave
/// them half done.
pub(super) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(fault) => match fault.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process stops.
            Err(_) => std::future::pending().await,
        },
    }
}
