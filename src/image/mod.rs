//! OCI image config and manifests; reading bases, writing outputs.
