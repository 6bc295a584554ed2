//! Signature and freshness: the only place where a `Verified` is made.

/// The keys of a source, ready to verify with; newest first, never empty.
#[derive(Debug)]
pub struct Keys(());
