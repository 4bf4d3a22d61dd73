//! OCI distribution client; knows no stages.
