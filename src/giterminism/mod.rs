//! The gate through which every project file and environment look-up passes.
