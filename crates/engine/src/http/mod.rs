//! Parts of HTTP that inbound and outbound requests share.

pub(crate) mod body;
pub(crate) mod content_length;
pub(crate) mod hop_by_hop;
