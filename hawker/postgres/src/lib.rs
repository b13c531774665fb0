//! hawker/postgres
