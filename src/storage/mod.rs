//! Where stages live: snapshots, blobs, the index.
