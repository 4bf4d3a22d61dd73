//! The one integration binary.

mod native;
