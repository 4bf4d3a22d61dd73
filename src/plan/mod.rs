//! Gathers the facts that the pure planner needs, and makes the plan.
