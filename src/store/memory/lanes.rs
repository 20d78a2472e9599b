//! Lanes in the model: a call that is repeated gets the reply that it got, one that leaves a gap is told so.

use crate::store::packing::Args;
use crate::store::*;
use std::{any::Any, sync::Arc};

const LANE_MS: u64 = 3_600_000;

/// What a call asks for: the same again is a repetition.
pub(super) type Asked = (&'static str, Args);

#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<LaneName, Lane>,
}

#[derive(Clone, Debug)]
struct Lane {
    last: u64,
    asked: Asked,
    reply: Arc<dyn Any + Send + Sync>,
    till_ms: u64,
}

impl Lanes {
    /// The reply that the call got before, or `None` when it comes next in its lane.
    pub fn find<T: Clone + 'static>(&mut self, call: LaneCall, asked: &Asked, server_ms: u64) -> StoreResult<Option<T>> {
        self.lanes.retain(|_, lane| server_ms < lane.till_ms);
        let (number, lane) = (call.number.get(), self.lanes.get(&call.name));
        let last = lane.map_or(0, |lane| lane.last);
        match lane {
            _ if number == last + 1 => Ok(None),
            _ if number > last => Err(StoreError::Lost { last }),
            Some(lane) if number == last && lane.asked == *asked => Ok(lane.reply.downcast_ref::<T>().cloned()),
            Some(_) if number == last => Err(StoreError::BadArgument("lane".to_owned())),
            Some(_) | None => Err(StoreError::Stale { last }),
        }
    }

    pub fn keep(&mut self, call: LaneCall, asked: Asked, reply: impl Any + Send + Sync, now_ms: u64) {
        let lane = Lane { last: call.number.get(), asked, reply: Arc::new(reply), till_ms: now_ms + LANE_MS };
        self.lanes.insert(call.name, lane);
    }

    /// The store goes back to before the lane's last call.
    #[cfg(test)]
    pub fn take_back(&mut self, name: LaneName) {
        self.lanes.remove(&name);
    }
}
