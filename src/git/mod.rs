//! git objects: trees, checksums, layouts, remote clones; no policy.
