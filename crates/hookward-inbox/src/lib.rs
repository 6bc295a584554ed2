//! A durable inbox: events wait on disk until each of their destinations has accepted them.
//!
//! It knows names, times, bytes and files, but neither HTTP nor signatures. The sending side takes
//! due events, sends them, and reports the results.
//!
//! ```
//! use hookward_inbox::{Accept, AcceptTarget, Inbox, Policy, Settings, Tried, TryOutcome};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! let settings = Settings {
//!     destinations: vec![("erp".to_owned(), Policy::default())],
//!     min_free: 0,
//!     ..Settings::default()
//! };
//! // Milliseconds since the Unix epoch; a program asks its clock.
//! let clock = || 1_700_000_000_000;
//! let (inbox, recovery) = Inbox::open(folder.path(), settings, clock)?;
//! assert_eq!(recovery.entries, 0);
//!
//! inbox
//!     .accept(Accept {
//!         source: "shop".to_owned(),
//!         id: "evt_1".to_owned(),
//!         body: "{}".into(),
//!         targets: vec![AcceptTarget::new("erp")],
//!         ..Accept::default()
//!     })
//!     .await?;
//! // It is durable: now the sender may be told so.
//!
//! for mut attempt in inbox.take_due(|_to| 10) {
//!     let event = attempt.read()?;
//!     attempt.begin().await;
//!     // Here it is sent.
//!     assert_eq!((event.id.as_str(), &event.body[..]), ("evt_1", &b"{}"[..]));
//!     attempt.end(Tried::new(1_700_000_000_000, TryOutcome::Status(200))).await;
//! }
//! assert_eq!(inbox.state("shop", "evt_1", "erp"), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it works
//!
//! One thread writes. It collects requests into groups, appends each group to the newest segment file,
//! has it flushed, applies the group to the state in memory, and then answers. Up to four flushes
//! overlap. In memory an entry, which is one destination of an event, takes up to 64 bytes; its event
//! is read back when it is sent. At start the log is read from beginning to end, and all its checksums
//! are verified.
//!
//! # What it promises
//!
//! - When [`Inbox::accept`] returns `Ok`, the event is durable with all its destinations.
//! - An event stays until each destination has accepted it, or it is given up, discarded or erased.
//! - Damage is found when the inbox is opened. It then reports the damage and changes nothing.
//!
//! # What it leaves to you
//!
//! - **Sending.** The crate opens no connection. Take due events, send them and report the result.
//! - **Time.** Pass a clock, so that a test can set it.
//! - **Duplicates.** After a crash an event may be sent again; let its receiver recognise it by its id.

mod accepting;
mod attempt;
mod changes;
mod cipher;
mod clock;
mod codec;
mod command;
mod core;
mod deeds;
mod destination;
mod disk;
mod due;
mod ending;
mod event;
mod flusher;
mod folder_lock;
mod frame;
mod group;
mod hold;
mod inbox;
mod index;
mod known;
mod lanes;
mod learning;
mod log;
mod logged;
mod moving;
mod named;
mod names;
mod pipeline;
mod plan;
mod policy;
mod progress;
mod query;
mod ramp;
mod reading;
mod record;
mod recover;
mod segment;
mod settings;
mod shared;
mod stored_event;
mod sweep;
mod sweeping;
mod tries;
mod usage;
mod usual;
mod waiting;
mod writer;
mod writing;

pub use attempt::{Attempt, AttemptEnding, EntryAttempt, Unreadable};

pub use cipher::{CipherKeys, Locked};
pub use clock::{Millis, TimeSource};
pub use command::ChangeError;
pub use deeds::{Deed, DeedKind};
pub use destination::Ends;
pub use disk::{Disk, System};
pub use event::{
    Accept, AcceptError, AcceptTarget, Accepted, EntryState, Filter, Limit, Listed, Live, OnDead,
    Page, Stored,
};
pub use hold::LaneHold;
pub use inbox::Inbox;
pub use policy::Policy;
pub use progress::EntryProgress;
pub use query::{DestinationStats, Stats};
pub use ramp::Ramp;
pub use record::{End, Pause, Phase};
pub use recover::{OpenError, Recovery, Torn};
pub use settings::{Deaf, Observer, Random, Settings};
pub use stored_event::StoredEvent;
pub use tries::{Tried, Try, TryOutcome};
pub use waiting::{WaitingCount, waiting_in};
