//! An axum server that verifies deliveries of GitHub and of a sender that uses Standard Webhooks.

use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::{Router, body::Bytes, extract::State, routing::post};
use hookward_time::{Clock as _, SystemClock};
use hookward_verify::{Event, Fault, Request, Sender, SenderError, verify};
use std::sync::Arc;

type Answer = (StatusCode, String);
type Shared = State<Arc<Sender>>;

fn receive(sender: &Sender, request: Request<'_>, body: &[u8]) -> Result<Event, Fault> {
    let genuine = verify(sender, request, body)?;
    let event = Event::read(sender, request, body, &genuine)?;
    sender.check_freshness(event.sent, SystemClock::new().wall())?;
    Ok(event)
}

async fn hook(
    State(sender): Shared,
    m: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let request = Request { method: &m, path: uri.path(), query: uri.query(), headers: &headers };
    match receive(&sender, request, &body) {
        Ok(event) => (StatusCode::OK, format!("{} {}", event.kind, event.id)),
        Err(fault) => (StatusCode::UNAUTHORIZED, fault.to_string()),
    }
}

/// The two endpoints, with the secret of each sender.
pub fn app(github: &str, standard: &str) -> Result<Router, SenderError> {
    let route = |preset, secret: &str| {
        Ok::<_, SenderError>(post(hook).with_state(Arc::new(Sender::preset(preset, [secret])?)))
    };
    let router = Router::new().route("/github", route("github", github)?);
    Ok(router.route("/standard", route("standard-webhooks", standard)?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = app(&std::env::var("GITHUB_SECRET")?, &std::env::var("STANDARD_SECRET")?)?;
    Ok(axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await?)
}
