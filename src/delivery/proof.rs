//! The types that are required to claim an event and to send a request to an upstream.
//!
//! [`Proven`] is an event of a request that a
//! [`SignatureCheck`](hookward_verify::verify::SignatureCheck) found genuine; nothing else is claimed.
//! A request to an upstream needs a [`Permit`], which a `Proven` gives, or in shadow mode a
//! [`ShadowPass`]. None of the three can be made in another way.

use crate::delivery::source::{Mode, Source};
use crate::request::RequestHead;
use hookward_claims::Claimable;
use hookward_names::{EventId, SourceName};
use hookward_verify::event::Event;
use hookward_verify::fault::Fault;
use hookward_verify::scheme::Place;
use hookward_verify::verify::Genuine;
use std::sync::Arc;

/// An event of a request that is proven genuine. Clones share it.
#[derive(Clone, Debug)]
pub struct Proven(Arc<GenuineEvent>);

#[derive(Debug)]
struct GenuineEvent {
    source: SourceName,
    event: Event,
}

impl Proven {
    /// Reads the event of a genuine request.
    ///
    /// # Errors
    /// As [`Event::read`].
    pub fn read(
        source: &Source,
        head: &RequestHead,
        body: &[u8],
        genuine: &Genuine,
    ) -> Result<Self, Fault> {
        Self::read_with(source, head, body, genuine, &[]).map(|(proven, _)| proven)
    }

    /// The same, and what is at each of these places.
    ///
    /// # Errors
    /// As [`Event::read_with`].
    pub fn read_with(
        source: &Source,
        head: &RequestHead,
        body: &[u8],
        genuine: &Genuine,
        places: &[Place],
    ) -> Result<(Self, Vec<Option<String>>), Fault> {
        let (event, texts) = Event::read_with(&source.sender, head.view(), body, genuine, places)?;
        let event = GenuineEvent { source: source.name.clone(), event };
        Ok((Self(Arc::new(event)), texts))
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.0.event
    }

    /// The source that it came from.
    #[must_use]
    pub fn source(&self) -> &SourceName {
        &self.0.source
    }
}

impl Claimable for Proven {
    fn source(&self) -> &SourceName {
        &self.0.source
    }

    fn event_id(&self) -> &EventId {
        &self.0.event.id
    }
}

/// Permission to forward a request in shadow mode that enforcement would have refused for any
/// reason, including altered or unsigned requests.
#[derive(Debug)]
pub struct ShadowPass {
    proven: Option<Proven>,
}

impl ShadowPass {
    /// The pass of a source in shadow mode; no other gives one. `proven` is the event, where its
    /// signature held.
    #[must_use]
    pub fn of(source: &Source, proven: Option<Proven>) -> Option<Self> {
        (source.mode == Mode::Shadow).then_some(Self { proven })
    }
}

/// Why an event may be forwarded.
#[derive(Debug)]
pub enum Warrant {
    /// It is genuine.
    Proven(Proven),
    /// Its source is in shadow mode.
    Shadow(ShadowPass),
}

impl Warrant {
    /// The event, if it is proven: everything that a destination may learn about it.
    #[must_use]
    pub const fn proven(&self) -> Option<&Proven> {
        match self {
            Self::Proven(proven) => Some(proven),
            Self::Shadow(pass) => pass.proven.as_ref(),
        }
    }

    /// Permission for one request.
    #[must_use]
    pub const fn permit(&self) -> Permit {
        Permit(())
    }
}

/// An event from the inbox. Only proven events are stored there ([`crate::inbox::InboxStore::accept`]),
/// so it may be forwarded.
#[derive(Debug)]
pub struct KeptEvent(hookward_inbox::StoredEvent);

impl KeptEvent {
    /// Reads the event of an attempt, if that does not block.
    pub fn at_hand(attempt: &mut hookward_inbox::Attempt) -> Option<Self> {
        attempt.read_at_hand().map(Self)
    }

    /// Reads the event of an attempt. This blocks for a disk that has to be asked.
    ///
    /// # Errors
    /// If it does not read: its entry is then dead.
    pub fn read(attempt: &mut hookward_inbox::Attempt) -> Result<Self, hookward_inbox::Unreadable> {
        attempt.read().map(Self)
    }

    /// The event.
    #[must_use]
    pub const fn event(&self) -> &hookward_inbox::StoredEvent {
        &self.0
    }

    /// Permission for one request.
    #[must_use]
    pub const fn permit(&self) -> Permit {
        Permit(())
    }
}

/// Permission to send one request to an upstream. Only a [`Warrant`] or a [`KeptEvent`] event gives it:
///
/// ```compile_fail,E0423
/// let permit = hookward::delivery::proof::Permit(());
/// ```
#[derive(Debug)]
pub struct Permit(());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::fixture::{signed_by, source};
    use hookward_verify::verify::verify;

    #[test]
    fn only_a_source_in_shadow_mode_gives_a_pass() {
        let mut source = source("X-Sig");
        source.mode = Mode::Enforce;
        assert!(ShadowPass::of(&source, None).is_none());
        source.mode = Mode::Shadow;
        let pass = ShadowPass::of(&source, None).expect("a pass");
        assert!(Warrant::Shadow(pass).proven().is_none(), "nothing of the event is proven");
    }

    #[test]
    fn a_proven_event_is_claimed_under_its_own_source_and_id() {
        let source = source("X-Sig");
        let (head, body) = signed_by(&source, br#"{"id":"1","type":"t"}"#);
        let genuine = verify(&source.sender, head.view(), &body).expect("genuine");
        let proven = Proven::read(&source, &head, &body, &genuine).expect("an event");
        assert_eq!(Claimable::source(&proven), &source.name);
        assert_eq!(proven.event_id().as_str(), "1");
        assert!(Proven::read(&source, &head, b"{}", &genuine).is_err());
    }
}
