//! Heads of requests and responses: validation, and removal of hop-by-hop fields.

mod check;
mod head;

pub(crate) use check::{HeadRejection, check};
pub(crate) use head::{
    MAX_HEAD_BYTES, TrailerFilter, finish_guest_response, name_host_of_http_1_0, set_forwarded_for, set_scheme,
    strip_hop_by_hop, strip_response_hop_by_hop,
};
