//! `hookward run`: runs the proxy until it is told to stop.

use super::complain;
use super::configuration::ConfigFile;
use super::exit::{CommandStop, Exit};
use crate::config::{Config, LogFormat, Problem, Severity, SystemSecrets};
use crate::operator::runtime::{Origin, Runtime};
use crate::operator::server::{self, Behind, Bound};
use crate::telemetry::log;
use crate::telemetry::spans;
use hookward_time::SystemClock;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long a runtime may take to end its threads once nothing is left to serve.
const LAST_TASKS: Duration = Duration::from_millis(200);

/// Runs the proxy until SIGTERM or SIGINT; SIGHUP reloads the configuration
#[derive(Debug, clap::Args)]
pub struct RunArguments {
    #[command(flatten)]
    file: ConfigFile,
}

/// Exits with 0 if all deliveries under way finished, with 1 if `drain_timeout` cut some off, with
/// 130 after a second signal.
///
/// # Errors
/// When the configuration is wrong, or an address or the store is not available.
pub fn run(arguments: &RunArguments) -> Result<ExitCode, CommandStop> {
    let path = arguments.file.path();
    let (config, notes) = match Config::load(&path, &SystemSecrets) {
        Ok(loaded) => loaded,
        Err(problems) => {
            return match Config::log_format(&path) {
                LogFormat::Text => Err(arguments.file.unusable(&problems)),
                LogFormat::Json => {
                    for problem in &problems {
                        fatal(&problem.to_string());
                    }
                    fatal(&format!("{} cannot be used", path.display()));
                    Ok(Exit::Usage.into())
                }
            };
        }
    };
    let format = config.log.format;
    match (serve(path, config, notes), format) {
        (Err(CommandStop { exit, problem }), LogFormat::Json) => {
            fatal(&problem);
            Ok(exit.into())
        }
        (ended, _) => ended,
    }
}

/// The last log line of a process with a JSON log.
fn fatal(problem: &str) {
    complain(&format!("{}\n", log::json_line("error", problem)));
}

fn serve(path: PathBuf, config: Config, notes: Vec<Problem>) -> Result<ExitCode, CommandStop> {
    let log = log::install(&config.log).map_err(|fault| CommandStop::new(Exit::Usage, fault))?;
    for note in notes {
        match note.severity {
            Severity::Note => tracing::info!("{note}"),
            Severity::Warning | Severity::Error => tracing::warn!("{note}"),
        }
    }
    let spans = spans::from_environment().map_err(|fault| CommandStop::new(Exit::Usage, fault))?;
    let cannot_serve =
        |fault: &dyn std::fmt::Display| CommandStop::new(Exit::CannotServe, fault.to_string());
    let bound = Bound::bind(&config.server, &config.admin).map_err(|fault| cannot_serve(&fault))?;
    let threads = config.server.threads;
    let (store, sources) = (config.dedupe.store.name(), config.sources.len());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %path.display(),
        config_hash = &*config.fingerprint,
        store,
        sources,
        "starting"
    );
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
        let ended = server::until_signalled(running).await.map_err(|fault| cannot_serve(&fault));
        served.close();
        ended
    });
    runtime.shutdown_timeout(LAST_TASKS);
    if let Some(spans) = spans {
        spans.flush();
    }
    code.map(ExitCode::from)
}

/// The number of worker threads: as configured, otherwise one per core.
fn executor(threads: Option<usize>) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    builder.thread_name("hookward").enable_all().build()
}
