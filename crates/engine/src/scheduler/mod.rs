//! Shares processor time between sandboxes: meters, turns, compute threads.

pub(crate) mod background_drop;
pub(crate) mod epoch_ticker;
pub(crate) mod fair_queue;
pub(crate) mod interrupt;
pub(crate) mod meter;
pub(crate) mod offload;
pub(crate) mod priority;
pub(crate) mod thread_clock;
pub(crate) mod turns;
