//! hawker
