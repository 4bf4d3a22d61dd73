//! Events and reports: serialisable, versioned.
