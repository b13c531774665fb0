//! shared/testkit
