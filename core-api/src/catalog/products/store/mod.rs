//! SQL of `products`, `product_variants` as their shop changes them, and the movements
//! that its changes leave. What sells reaches variants through the stock feature.

mod pictures;
mod read;
mod variants;
mod write;

pub(super) use pictures::{add_picture, pictures, place_pictures, remove_picture, set_image};
pub(super) use read::{get_own, list_own, many_public, movements};
pub(super) use variants::{
    Stock, adjust, axes_and_count, insert_movement, insert_variants, lock_stock, lock_variant, lock_variants,
    place_variants, put_stock, skus_elsewhere, stock, update_variant,
};
pub(super) use write::{insert, lock, raise_version, set_axes, update};
