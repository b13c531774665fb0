//! Hawker's WebSocket engine: rooms, chat fan-out, reactions, featured products, flash-buy.

pub mod types;
