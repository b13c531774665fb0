//! What a room reads and writes itself: its lease, its rows when it opens, single
//! things that a notice names, and its host's commands. Numbered events are the
//! persister's, holds are the sale desk's.

pub mod chat;
pub mod host;
pub mod lease;
pub mod load;
pub mod moderate;
pub mod people;
pub mod report;
pub mod said;
pub mod unattended;
