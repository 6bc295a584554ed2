//! `hookward run`: serves until it is told to stop.

use super::configuration::ConfigFile;
use super::exit::{Exit, Stop};
use crate::clock::SystemClock;
use crate::config::{Config, Severity, SystemSecrets};
use crate::log;
use crate::runtime::{Origin, Runtime};
use crate::server::{self, Behind, Bound};
use crate::spans;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// What a runtime may take to let go of its threads once nothing is left to serve.
const LAST_TASKS: Duration = Duration::from_millis(200);

/// Serves: verifies, claims and forwards until SIGTERM or SIGINT; SIGHUP reloads
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
}

/// Ends with 0 when all deliveries under way finished, 1 when `drain_timeout` cut some off, 130
/// after a second signal.
///
/// # Errors
/// A configuration that is wrong; an address or a store that is not to be had.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Stop> {
    let path = arguments.file.path();
    let (config, notes) = Config::load(&path, &SystemSecrets)
        .map_err(|problems| arguments.file.unusable(&problems))?;
    let log = log::install(&config.log).map_err(|fault| Stop::new(Exit::Usage, fault))?;
    for note in notes {
        match note.severity {
            Severity::Note => tracing::info!("{note}"),
            Severity::Warning | Severity::Error => tracing::warn!("{note}"),
        }
    }
    let spans = spans::from_environment().map_err(|fault| Stop::new(Exit::Usage, fault))?;
    let cannot_serve =
        |fault: &dyn std::fmt::Display| Stop::new(Exit::CannotServe, fault.to_string());
    let bound = Bound::bind(&config.server, &config.admin).map_err(|fault| cannot_serve(&fault))?;
    let threads = config.server.threads;
    let runtime = executor(threads).map_err(|fault| cannot_serve(&fault))?;
    let code = runtime.block_on(async {
        let origin = Origin { path, secrets: Box::new(SystemSecrets), log: log.control };
        let clock = Arc::new(SystemClock::new());
        let served = Runtime::build(config, Some(origin), clock.clone())
            .await
            .map_err(|fault| cannot_serve(&fault))?;
        if let Some(spans) = &spans {
            served.show_spans(Arc::clone(spans));
        }
        let behind = Behind {
            door: served.clone(),
            admin: served.clone(),
            metrics: served.metrics(),
            clock,
        };
        let running = server::start(bound, served.edge(), behind);
        server::until_signalled(running).await.map_err(|fault| cannot_serve(&fault))
    });
    runtime.shutdown_timeout(LAST_TASKS);
    if let Some(spans) = spans {
        spans.flush();
    }
    code.map(ExitCode::from)
}

/// The threads that do the work: as many as configured, else one per core.
fn executor(threads: Option<usize>) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    builder.thread_name("hookward").enable_all().build()
}
