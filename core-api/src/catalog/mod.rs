//! What is for sale: the tree of categories, what shipping costs, products with their
//! variants and stock.
//!
//! Every committed change of a product raises its version and leaves a notice for the
//! rooms on air that have it in their line-up, in the same transaction.

pub mod categories;
pub mod files;
pub mod pages;
pub mod products;
pub mod reviews;
pub mod search;
pub mod shipping;
