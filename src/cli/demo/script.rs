//! The script: the deliveries and their expected results.

use super::stage::{DemoStage, PATH, SECRET, TOO_SLOW};
use http::StatusCode;
use std::time::Duration;

/// One scene: a delivery, or two simultaneous copies.
pub(super) struct Scene {
    /// What the shop sends, for the table.
    pub(super) sent: &'static str,
    /// Why it ends like this.
    pub(super) why: &'static str,
    event: DemoEvent,
    tampering: Tampering,
    copies: Copies,
    plans: &'static [(Receiver, StatusCode, Duration)],
    told: &'static str,
    erp: &'static [u16],
    crm: &'static [u16],
}

/// Which event, by id and type, and its age according to its timestamp.
#[derive(Clone, Copy)]
struct DemoEvent {
    id: &'static str,
    kind: &'static str,
    age_seconds: i64,
}

const fn event(id: &'static str, kind: &'static str) -> DemoEvent {
    DemoEvent { id, kind, age_seconds: 0 }
}

#[derive(Clone, Copy)]
enum Receiver {
    Erp,
    Crm,
}

#[derive(Clone, Copy)]
enum Copies {
    One,
    TwoAtOnce,
}

/// What happens to the delivery on its way from the shop.
#[derive(Clone, Copy)]
enum Tampering {
    Nothing,
    BodyAltered,
    SignatureLost,
    SignedByAnother,
    WrongPath,
}

/// The result of a scene.
pub(super) struct DemoLine {
    pub(super) sent: &'static str,
    pub(super) why: &'static str,
    pub(super) told: String,
    pub(super) erp: Vec<u16>,
    pub(super) crm: Vec<u16>,
    /// The expected result, if it differs.
    pub(super) expected: Option<String>,
}

impl DemoLine {
    /// Whether the result is as expected.
    pub(super) fn is_right(&self) -> bool {
        self.expected.is_none()
    }
}

/// The common parts of most scenes.
const PLAIN: Scene = Scene {
    sent: "",
    why: "",
    event: event("", ""),
    tampering: Tampering::Nothing,
    copies: Copies::One,
    plans: &[],
    told: "",
    erp: &[],
    crm: &[],
};

const ERROR: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
const A_LITTLE: Duration = Duration::from_millis(150);
const A_WEEK_SECONDS: i64 = 7 * 24 * 3600;

/// All scenes, in order: some depend on earlier ones.
pub(super) fn scenes() -> Vec<Scene> {
    let mut scenes = strangers();
    scenes.extend(troubles());
    scenes
}

/// What passes: genuine, fresh and new events.
fn strangers() -> Vec<Scene> {
    let first = event("evt-1", "order.created");
    vec![
        Scene {
            sent: "a new order",
            event: first,
            told: "200 delivered",
            erp: &[200],
            why: "genuine, fresh and new to the ERP",
            ..PLAIN
        },
        Scene {
            sent: "the same order again",
            event: first,
            told: "200 duplicate",
            why: "the ERP has it; the shop stops retrying",
            ..PLAIN
        },
        Scene {
            sent: "an order, altered on its way",
            event: event("evt-2", "order.created"),
            tampering: Tampering::BodyAltered,
            told: "401 rejected signature_mismatch",
            why: "the signature is for other bytes",
            ..PLAIN
        },
        Scene {
            sent: "an order without a signature",
            event: event("evt-2", "order.created"),
            tampering: Tampering::SignatureLost,
            told: "401 rejected signature_missing",
            why: "anyone could have sent it",
            ..PLAIN
        },
        Scene {
            sent: "an order signed with a wrong secret",
            event: event("evt-2", "order.created"),
            tampering: Tampering::SignedByAnother,
            told: "401 rejected signature_mismatch",
            why: "no secret of the shop made the signature",
            ..PLAIN
        },
        Scene {
            sent: "a delivery of last week, replayed",
            event: DemoEvent { age_seconds: A_WEEK_SECONDS, ..event("evt-0", "order.created") },
            told: "401 rejected timestamp_too_old",
            why: "signed by the shop, but too old",
            ..PLAIN
        },
        Scene {
            sent: "an order to an unknown path",
            event: event("evt-2", "order.created"),
            tampering: Tampering::WrongPath,
            told: "404 rejected unknown_source",
            why: "no source has this path",
            ..PLAIN
        },
    ]
}

/// What happens to genuine events when receivers are down or slow.
fn troubles() -> Vec<Scene> {
    let failing = event("evt-3", "order.created");
    let paid = event("evt-5", "order.paid");
    let slow = event("evt-6", "order.created");
    vec![
        Scene {
            sent: "an order that the ERP fails on",
            event: failing,
            plans: &[(Receiver::Erp, ERROR, Duration::ZERO)],
            told: "500 failed upstream_error",
            erp: &[500],
            why: "the shop will retry; nothing is remembered",
            ..PLAIN
        },
        Scene {
            sent: "the shop's retry of it",
            event: failing,
            told: "200 delivered",
            erp: &[200],
            why: "a failure is not a duplicate",
            ..PLAIN
        },
        Scene {
            sent: "two copies of an order at once",
            event: event("evt-4", "order.created"),
            copies: Copies::TwoAtOnce,
            plans: &[(Receiver::Erp, StatusCode::OK, A_LITTLE)],
            told: "200 delivered, 200 delivered",
            erp: &[200],
            why: "one is forwarded, the other waits for its answer",
            ..PLAIN
        },
        Scene {
            sent: "a payment for both, the CRM down",
            event: paid,
            plans: &[(Receiver::Crm, StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO)],
            told: "503 failed upstream_error",
            erp: &[200],
            crm: &[503],
            why: "the CRM does not have it yet",
            ..PLAIN
        },
        Scene {
            sent: "the shop's retry of it",
            event: paid,
            told: "200 delivered",
            crm: &[200],
            why: "only the CRM missed it",
            ..PLAIN
        },
        Scene {
            sent: "an order, the ERP slower than the shop",
            event: slow,
            plans: &[(Receiver::Erp, StatusCode::OK, TOO_SLOW)],
            told: "503 held still_working",
            erp: &[200],
            why: "the shop gave up; the ERP may finish",
            ..PLAIN
        },
        Scene {
            sent: "the shop's retry of it",
            event: slow,
            told: "200 duplicate",
            why: "the ERP finished in the meantime",
            ..PLAIN
        },
        Scene {
            sent: "an event of another type",
            event: event("evt-7", "review.published"),
            told: "200 ignored",
            why: "no route takes it",
            ..PLAIN
        },
    ]
}

impl Scene {
    /// Plays it, once everything forwarded before has finished.
    pub(super) async fn play(self, stage: &DemoStage) -> DemoLine {
        stage.settled().await;
        for (receiver, status, delay) in self.plans {
            let desk = match receiver {
                Receiver::Erp => &stage.erp,
                Receiver::Crm => &stage.crm,
            };
            desk.plan(*status, *delay);
        }
        let told = match self.copies {
            Copies::One => self.deliver(stage).await,
            Copies::TwoAtOnce => {
                let (one, other) = tokio::join!(self.deliver(stage), self.deliver(stage));
                format!("{one}, {other}")
            }
        };
        let (erp, crm) = (stage.erp.answered(), stage.crm.answered());
        let is_right = told == self.told && erp == self.erp && crm == self.crm;
        let expected =
            (!is_right).then(|| format!("{}; erp {:?}, crm {:?}", self.told, self.erp, self.crm));
        DemoLine { sent: self.sent, why: self.why, told, erp, crm, expected }
    }

    /// What the shop was told, or why there was no answer.
    async fn deliver(&self, stage: &DemoStage) -> String {
        let DemoEvent { id, kind, age_seconds } = self.event;
        let mut body = body(id, kind, &stage.time(-age_seconds));
        let secret = match self.tampering {
            Tampering::SignedByAnother => "a-secret-of-somebody-else",
            _ => SECRET,
        };
        let mut headers = match stage.signed(&body, secret) {
            Ok(headers) => headers,
            Err(fault) => return fault,
        };
        let mut path = PATH;
        match self.tampering {
            Tampering::Nothing | Tampering::SignedByAnother => {}
            Tampering::BodyAltered => body = altered(&body),
            Tampering::SignatureLost => {
                headers.retain(|(name, _)| !name.eq_ignore_ascii_case("x-signature"));
            }
            Tampering::WrongPath => path = "/webhooks/shp",
        }
        let told = stage.deliver(path, headers, body).await;
        told.map_or_else(|fault| fault, |told| told.to_string())
    }
}

/// The envelope as `OpenTiendas` sends it.
fn body(id: &str, kind: &str, created_at: &str) -> Vec<u8> {
    format!(
        r#"{{"event_id":"{id}","type":"{kind}","created_at":"{created_at}","data":{{"id":1001,"total":"129.90"}}}}"#
    )
    .into_bytes()
}

/// The same bytes with another amount.
fn altered(body: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(body).replace("129.90", "001.00").into_bytes()
}
