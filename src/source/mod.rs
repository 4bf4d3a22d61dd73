//! Text with an origin, places in it, diagnostics as plain data.
