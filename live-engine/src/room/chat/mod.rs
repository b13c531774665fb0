//! What a room keeps of its chat beyond what viewers see: how often people may speak, who
//! belongs to its audience, which words it does not want, what can be answered, and the
//! messages that are still being checked. Pure; [`super::core`] puts it together.

pub mod gate;
pub mod known;
pub mod lanes;
pub mod links;
pub mod members;
pub mod out;
pub mod recalls;
