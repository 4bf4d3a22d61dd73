//! The one integration binary.

mod goldens_gotemplate;
