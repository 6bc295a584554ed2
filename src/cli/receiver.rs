//! `hookward receiver`: a receiver for trials.

use super::exit::{CommandStop, Exit};
use super::print;
use crate::senders::receiver::capture::Captures;
use crate::senders::receiver::{Received, ReceivedRequests, ReceiverReply, serve, show};
use hookward_time::SystemClock;
use http::StatusCode;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Prints every event that arrives and answers as configured; shortens credentials on the screen
#[derive(Debug, clap::Args)]
pub struct ReceiverArguments {
    /// Address to listen on, IP:PORT; 0.0.0.0 means all addresses of this machine
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001", value_parser = address)]
    listen: SocketAddr,
    /// Status to answer with, 200 to 599
    #[arg(long, value_name = "N", default_value = "200", value_parser = clap::value_parser!(u16).range(200..600))]
    status: u16,
    /// How long to delay every answer, such as 300ms or 8s
    #[arg(long, value_name = "D", default_value = "0s", value_parser = humantime::parse_duration)]
    delay: Duration,
    /// Directory to write each complete request to, as NAME.headers and NAME.body, for explain and
    /// discover
    #[arg(long, value_name = "DIR")]
    capture: Option<PathBuf>,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "not IP:PORT, such as 127.0.0.1:9001; names are not resolved")
}

/// Serves until it is interrupted.
///
/// # Errors
/// When it cannot listen on the address or create the capture directory.
pub fn run(arguments: &ReceiverArguments) -> Result<Exit, CommandStop> {
    let status = StatusCode::from_u16(arguments.status).map_err(|_| {
        CommandStop::new(Exit::Usage, format!("{} is not a status", arguments.status))
    })?;
    let captures = match &arguments.capture {
        None => None,
        Some(directory) => Some(Captures::in_directory(directory).map_err(|fault| {
            CommandStop::new(
                Exit::CannotServe,
                format!("cannot create {}: {fault}", directory.display()),
            )
        })?),
    };
    let printer = Printer { reply: ReceiverReply { status, delay: arguments.delay }, captures };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|fault| {
            CommandStop::new(Exit::CannotServe, format!("cannot start the runtime: {fault}"))
        })?
        .block_on(listen(arguments.listen, printer))
}

async fn listen(address: SocketAddr, printer: Printer) -> Result<Exit, CommandStop> {
    let cannot = |fault: io::Error| {
        CommandStop::new(Exit::CannotServe, format!("cannot listen on {address}: {fault}"))
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    _ = writeln!(io::stderr(), "hookward: receiver listening on http://{address}");
    tokio::select! {
        never = serve(listener, Arc::new(SystemClock::new()), Arc::new(printer)) => match never {},
        stopped = stop_signal() => match stopped {
            Ok(()) => Ok(Exit::Done),
            Err(fault) => Err(CommandStop::new(Exit::CannotServe, format!("cannot receive signals: {fault}"))),
        },
    }
}

async fn stop_signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

struct Printer {
    reply: ReceiverReply,
    captures: Option<Captures>,
}

impl ReceivedRequests for Printer {
    fn receive(&self, request: &Received) -> ReceiverReply {
        let mut text = show::block(request, self.reply);
        match self.captures.as_ref().map(|captures| captures.write(request)) {
            Some(Ok(stem)) => {
                let stem = stem.display();
                _ = writeln!(text, "  captured {stem}.headers and {stem}.body");
            }
            Some(Err(fault)) => {
                _ = writeln!(io::stderr(), "hookward: cannot write the capture: {fault}");
            }
            None => {}
        }
        if let Err(CommandStop { problem, .. }) = print(&text) {
            _ = writeln!(io::stderr(), "hookward: {problem}");
        }
        self.reply
    }
}
