//! Runs a plan: a ready queue over the stage graph.
