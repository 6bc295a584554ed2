//! What goes on by itself: reading what others changed, dropping what was kept long enough, giving
//! space back.

use crate::changing::DROP_SLOT;
use crate::commons::{Commons, WITHIN};
use hookward_inbox::Millis;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const EXPIRE: &str = "SELECT hookward.expire()";
const EXPIRE_HOLDS: &str = "SELECT hookward.expire_holds()";
const SLOTS: &str = "SELECT * FROM hookward.look_after_slots()";
const CLEAN_SLOT: &str = "SELECT hookward.clean_slot($1)";

/// How late a pause is heard of whose notification was lost.
const LEARN_EVERY: Duration = Duration::from_secs(1);

/// Counts are read so often for what has to know them at any time, as whether there is room.
const COUNT_EVERY: Millis = 2_000;

/// Space is given back so often: it is free within a minute of the end of an event.
const TIDY_EVERY: Millis = 10_000;

/// What takes long, as with a million entries, is done no oftener than this many times as long.
const REST: Millis = 50;

/// Runs maintenance until it is dropped.
#[derive(Debug)]
pub(crate) struct SharedUpkeep([JoinHandle<()>; 2]);

impl SharedUpkeep {
    pub(crate) fn start(commons: &Arc<Commons>) -> Self {
        let heard = Arc::new(Notify::new());
        let (database, told) = (commons.database.clone(), Arc::clone(&heard));
        let listening = commons.runtime.spawn(async move { database.listen(&told).await });
        let keeping = commons.runtime.spawn(keep_up(Arc::downgrade(commons), heard));
        Self([listening, keeping])
    }
}

impl Drop for SharedUpkeep {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn keep_up(commons: Weak<Commons>, heard: Arc<Notify>) {
    let mut due = Due::default();
    loop {
        let waiting = heard.notified();
        let Some(commons) = commons.upgrade() else { return };
        commons.turn(&mut due).await;
        commons.wake.notify_waiters();
        drop(commons);
        _ = tokio::time::timeout(LEARN_EVERY, waiting).await;
    }
}

/// When what is done seldom is to be done next.
#[derive(Default)]
struct Due {
    count: Millis,
    tidy: Millis,
}

impl Commons {
    async fn turn(&self, due: &mut Due) {
        if let Err(why) = self.learn_pauses().await {
            return self.trouble(&why);
        }
        if let Err(fault) = self.database.ask(EXPIRE_HOLDS, &[], WITHIN).await {
            return self.trouble(&fault);
        }
        let now = self.now();
        // A clock that stepped back must not put it off.
        if now >= due.count || due.count > now + COUNT_EVERY * REST {
            if let Err(why) = self.learn_figures().await {
                return self.trouble(&why);
            }
            due.count = self.next(now, COUNT_EVERY);
        }
        let now = self.now();
        if now >= due.tidy || due.tidy > now + TIDY_EVERY * REST {
            if let Err(why) = self.tidy().await {
                return self.trouble(&why);
            }
            due.tidy = self.next(now, TIDY_EVERY);
        }
    }

    fn next(&self, began: Millis, every: Millis) -> Millis {
        let now = self.now();
        now.saturating_add(every.max(now.saturating_sub(began).saturating_mul(REST)))
    }

    /// Drops what was kept long enough, and gives space back.
    pub(crate) async fn tidy(&self) -> Result<(), String> {
        let told = |fault: hookward_claims::AnswerFault| fault.to_string();
        self.database.ask(EXPIRE, &[], WITHIN).await.map_err(told)?;
        for row in self.database.ask(SLOTS, &[], WITHIN).await.map_err(told)? {
            let (slot, is_to_drop) = (row.try_get::<_, i64>(0), row.try_get::<_, bool>(1));
            let (Ok(slot), Ok(is_to_drop)) = (slot, is_to_drop) else { continue };
            if is_to_drop {
                // Somebody may be reading it; it has time.
                _ = self.database.ask(DROP_SLOT, &[&slot], WITHIN).await;
            } else {
                self.database.ask(CLEAN_SLOT, &[&slot], WITHIN).await.map_err(told)?;
                self.database.vacuum(&format!("events_{slot}"), WITHIN).await?;
            }
        }
        Ok(())
    }
}
