//! stub
pub(super) fn helper_main() -> i32 { 0 }
