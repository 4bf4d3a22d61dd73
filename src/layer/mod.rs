//! Layers: tree to tar to blob, and back; whiteouts, content ids, merged views.
