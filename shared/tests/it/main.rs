//! What the shared types promise to the outside, in one binary.

mod protocol_doc;
