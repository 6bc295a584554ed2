//! Order per key: a lane holds the entries of one (source, destination, order key), by place.
//!
//! Only the head of a lane is sent. Dead entries that hold nothing up are skipped, but keep their
//! place in case they are replayed or revived.

use crate::index::U48;
use hashbrown::HashTable;
use std::collections::VecDeque;

/// The number of a lane; zero is none.
pub(crate) type LaneId = u32;

type Member = (U48, U48);

#[derive(Debug, Default)]
#[expect(
    clippy::box_collection,
    reason = "most lanes have one member; empty collections cost more"
)]
struct Lane {
    hash: u64,
    first: Option<Member>,
    rest: Option<Box<VecDeque<Member>>>,
    aside: Option<Box<Vec<Member>>>,
    is_held: bool,
    is_blocked: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Lanes {
    table: HashTable<LaneId>,
    all: Vec<Lane>,
    free: Vec<LaneId>,
}

fn place_of(member: &Member) -> u64 {
    member.0.into()
}

impl Lane {
    fn join(&mut self, member: Member) {
        let Some(first) = self.first else {
            self.first = Some(member);
            return;
        };
        let rest = self.rest.get_or_insert_default();
        if place_of(&member) < place_of(&first) {
            rest.push_front(first);
            self.first = Some(member);
        } else {
            let at = rest.partition_point(|other| place_of(other) < place_of(&member));
            rest.insert(at, member);
        }
    }

    fn leave(&mut self, seq: U48) -> Option<Member> {
        if self.first.is_some_and(|first| first.1 == seq) {
            let left = self.first.take();
            self.first = self.rest.as_mut().and_then(|rest| rest.pop_front());
            self.tidy();
            return left;
        }
        if let Some(rest) = self.rest.as_mut()
            && let Some(at) = rest.iter().position(|member| member.1 == seq)
        {
            let left = rest.remove(at);
            self.tidy();
            return left;
        }
        let aside = self.aside.as_mut()?;
        let at = aside.iter().position(|member| member.1 == seq)?;
        let left = aside.swap_remove(at);
        self.tidy();
        Some(left)
    }

    fn tidy(&mut self) {
        self.rest.take_if(|rest| rest.is_empty());
        self.aside.take_if(|aside| aside.is_empty());
    }

    fn is_unused(&self) -> bool {
        self.first.is_none() && self.aside.is_none() && !self.is_held
    }
}

impl Lanes {
    /// The lane of a key, made if it is not there.
    pub(crate) fn open(&mut self, hash: u64) -> LaneId {
        let lanes = &self.all;
        let is_it = |id: &LaneId| lanes.get(*id as usize).is_some_and(|lane| lane.hash == hash);
        if let Some(id) = self.table.find(hash, is_it) {
            return *id;
        }
        if self.all.is_empty() {
            self.all.push(Lane::default());
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.all.push(Lane::default());
            u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(lane) = self.all.get_mut(id as usize) {
            *lane = Lane { hash, ..Lane::default() };
        }
        let lanes = &self.all;
        self.table
            .insert_unique(hash, id, |id| lanes.get(*id as usize).map_or(0, |lane| lane.hash));
        id
    }

    fn lane(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.all.get_mut(id as usize).filter(|_| id != 0)
    }

    /// Takes a place in the order.
    pub(crate) fn join(&mut self, id: LaneId, place: u64, seq: u64) {
        if let Some(lane) = self.lane(id) {
            lane.join((place.into(), seq.into()));
        }
    }

    /// Leaves the order, or where it stood aside; gives its place.
    pub(crate) fn leave(&mut self, id: LaneId, seq: u64) -> Option<u64> {
        let left = self.lane(id)?.leave(seq.into());
        self.free_if_unused(id);
        left.map(|member| place_of(&member))
    }

    /// Lets those behind it pass, and keeps its place in mind.
    pub(crate) fn stand_aside(&mut self, id: LaneId, seq: u64) {
        if let Some(lane) = self.lane(id)
            && let Some(member) = lane.leave(seq.into())
        {
            lane.aside.get_or_insert_default().push(member);
        }
    }

    /// Goes back to its place in the order, from aside.
    pub(crate) fn return_to_place(&mut self, id: LaneId, seq: u64) {
        if let Some(lane) = self.lane(id)
            && let Some(member) = lane.leave(seq.into())
        {
            lane.join(member);
        }
    }

    /// The place of a member, aside or not.
    pub(crate) fn place(&self, id: LaneId, seq: u64) -> Option<u64> {
        let lane = self.all.get(id as usize).filter(|_| id != 0)?;
        let rest = lane.rest.iter().flat_map(|rest| rest.iter());
        let aside = lane.aside.iter().flat_map(|aside| aside.iter());
        let mut all = lane.first.iter().chain(rest).chain(aside);
        all.find(|member| member.1 == U48::from(seq)).map(place_of)
    }

    /// The entry that may be sent next.
    pub(crate) fn head(&self, id: LaneId) -> Option<u64> {
        self.all.get(id as usize)?.first.map(|member| member.1.into())
    }

    pub(crate) fn is_held(&self, id: LaneId) -> bool {
        self.all.get(id as usize).is_some_and(|lane| lane.is_held)
    }

    /// Holds the lane for a live attempt, if nothing waits in it.
    pub(crate) fn hold(&mut self, hash: u64) -> Option<LaneId> {
        let id = self.open(hash);
        let lane = self.lane(id)?;
        if lane.first.is_some() || lane.is_held {
            return None;
        }
        lane.is_held = true;
        Some(id)
    }

    /// Ends a hold; tells whether something waits behind it.
    pub(crate) fn release(&mut self, id: LaneId) -> bool {
        let waits = self.head(id).is_some();
        if let Some(lane) = self.lane(id) {
            lane.is_held = false;
        }
        self.free_if_unused(id);
        waits
    }

    /// Notes whether its head is dead and holds it; tells whether that is new.
    pub(crate) fn set_blocked(&mut self, id: LaneId, is: bool) -> bool {
        let Some(lane) = self.lane(id) else { return false };
        std::mem::replace(&mut lane.is_blocked, is) != is
    }

    fn free_if_unused(&mut self, id: LaneId) {
        let Some(lane) = self.all.get(id as usize) else { return };
        if id == 0 || !lane.is_unused() {
            return;
        }
        if let Ok(found) = self.table.find_entry(lane.hash, |other| *other == id) {
            found.remove();
            self.free.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_by_place_and_a_lane_that_is_empty_is_used_again() {
        let mut lanes = Lanes::default();
        let lane = lanes.open(7);
        for (place, seq) in [(5, 5), (9, 9), (2, 12), (7, 7)] {
            lanes.join(lane, place, seq);
        }
        assert_eq!(lanes.hold(7), None);
        lanes.stand_aside(lane, 5);
        assert_eq!(lanes.place(lane, 5), Some(5));
        let mut order = Vec::new();
        while let Some(head) = lanes.head(lane) {
            order.push(head);
            lanes.leave(lane, head);
        }
        assert_eq!(order, [12, 7, 9]);
        lanes.return_to_place(lane, 5);
        assert_eq!(lanes.head(lane), Some(5));
        assert_eq!(lanes.leave(lane, 5), Some(5));
        assert_eq!(lanes.open(8), lane);
        assert_eq!(lanes.hold(8), Some(lane));
        assert_eq!(lanes.hold(8), None);
    }
}
