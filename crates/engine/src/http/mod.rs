//! Parts of HTTP that incoming and outgoing requests share.

pub(crate) mod body;
pub(crate) mod content_length;
pub(crate) mod hop_by_hop;
