//! What is learned about destinations: from their answers, and from people who pause them.

use crate::clock::Millis;
use crate::core::Core;
use crate::record::Pause;
use crate::tries::TryOutcome;

impl Core {
    /// Takes over which destinations are paused.
    pub(crate) fn set_pauses(&mut self, pauses: &[Pause]) {
        for destination in &mut self.destinations {
            destination.pauses.clear();
        }
        for pause in pauses {
            let number = self.intern(&pause.to);
            if let Some(destination) = self.destination(number) {
                destination.pauses.push(pause.clone());
            }
        }
        self.usual.pause(pauses);
    }

    /// Learns from an answer of a destination, to an attempt from here or to a live one.
    pub(crate) fn learn(&mut self, to: u16, outcome: TryOutcome, now: Millis) {
        let Some(destination) = self.destinations.get_mut(usize::from(to)) else { return };
        let was_down = destination.is_down();
        destination.learn(outcome, now);
        match (was_down, destination.is_down()) {
            (false, true) => self.usual.goes_down(),
            (true, false) => self.usual.is_up_again(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Inbox, Policy, Settings, TryOutcome};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    const FINE: TryOutcome = TryOutcome::Status(200);
    const NOW: u64 = 1_700_000_000_000;

    fn inbox(folder: &std::path::Path) -> Inbox {
        let destinations = ["erp", "crm"].map(|to| (to.to_owned(), Policy::default()));
        let settings =
            Settings { min_free: 0, destinations: destinations.into(), ..Settings::default() };
        Inbox::open(folder, settings, || NOW).unwrap().0
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// Whether this returns although another one has the lock.
    fn needs_no_lock(inbox: &Inbox, ask: impl FnOnce(&Inbox) + Send + 'static) -> bool {
        let (asked, answer) = channel();
        let core = inbox.shared.core.lock();
        let asking = inbox.clone();
        let thread = std::thread::spawn(move || {
            ask(&asking);
            _ = asked.send(());
        });
        let is_answered = answer.recv_timeout(Duration::from_millis(300)).is_ok();
        drop(core);
        thread.join().unwrap();
        is_answered
    }

    #[test]
    fn a_live_delivery_waits_for_no_lock_unless_something_is_down_or_paused() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = inbox(folder.path());
        let learns =
            |inbox: &Inbox, outcome| needs_no_lock(inbox, move |i| i.learn("erp", outcome));
        let asks = |inbox: &Inbox| needs_no_lock(inbox, |i| assert!(!i.is_paused("erp")));
        assert!(asks(&inbox) && learns(&inbox, FINE));
        assert!(!learns(&inbox, TryOutcome::Broken), "that has to be noted");
        assert!(!learns(&inbox, FINE), "and that it is over");
        assert!(learns(&inbox, FINE));
        // One destination is down: the answers of the others are looked at, too.
        for _ in 0..3 {
            inbox.learn("crm", TryOutcome::Broken);
        }
        assert!(!learns(&inbox, FINE));
        for _ in 0..8 {
            inbox.learn("crm", FINE);
        }
        assert!(learns(&inbox, FINE), "its ramp is complete");
        run(inbox.pause("crm", None)).unwrap();
        assert!(!asks(&inbox) && inbox.is_paused("crm"));
        run(inbox.resume("crm")).unwrap();
        assert!(asks(&inbox) && !inbox.is_paused("crm"));
        run(inbox.pause("erp", Some(NOW + 1))).unwrap();
        assert!(inbox.is_paused("erp"));
        run(inbox.pause("erp", Some(NOW))).unwrap();
        assert!(asks(&inbox), "it is over");
    }
}
