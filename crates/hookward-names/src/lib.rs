//! Names that must not be mixed up.
//!
//! Source, upstream and event id are all text. Each has its own type, so that a function that takes
//! several of them cannot be called with two of them exchanged. Cloning is cheap, because clones
//! share the text.
//!
//! ```
//! use hookward_names::{EventId, SourceName};
//!
//! let (source, id) = (SourceName::from("shop"), EventId::from("evt_1"));
//! assert_eq!(format!("{source}/{id}"), "shop/evt_1");
//! ```
//!
//! ```compile_fail,E0308
//! # use hookward_names::{EventId, SourceName};
//! let id: EventId = SourceName::from("shop");
//! ```

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! names {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        /// For looking it up by its text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )+};
}

names! {
    /// The name of a `[sources.NAME]` table.
    SourceName;
    /// The name of an `[upstreams.NAME]` table.
    UpstreamName;
    /// An event's id; the same on every retry.
    EventId;
}
