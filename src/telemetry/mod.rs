//! What the process tells about itself: metrics, log lines, spans.

pub mod log;
pub mod metrics;
pub mod spans;
