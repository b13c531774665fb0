//! live-engine
