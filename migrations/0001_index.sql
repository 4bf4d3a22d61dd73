-- The index of a local store. Objects are files; this says what they are. It can be rebuilt: losing it costs rebuilds only.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- A stage: what its digest stands for, and what it holds.
CREATE TABLE stages (
    digest BLOB PRIMARY KEY,
    project TEXT NOT NULL,
    image TEXT NOT NULL,
    platform TEXT NOT NULL,
    kind TEXT NOT NULL,
    slot TEXT NOT NULL,
    parent BLOB,
    inputs TEXT NOT NULL,
    content_key BLOB NOT NULL,
    content_id BLOB NOT NULL,
    lineage BLOB NOT NULL,
    config BLOB NOT NULL REFERENCES configs(content_id),
    duration_ms INTEGER NOT NULL,
    created INTEGER NOT NULL,
    last_used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX stages_by_content_key ON stages(content_key);

-- The layers of a stage, all of them, from the bottom up.
CREATE TABLE stage_layers (
    stage BLOB NOT NULL,
    position INTEGER NOT NULL,
    layer BLOB NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (stage, position)
) WITHOUT ROWID;
CREATE INDEX stage_layers_by_layer ON stage_layers(layer);

-- Image configs, as JSON.
CREATE TABLE configs (
    content_id BLOB PRIMARY KEY,
    json BLOB NOT NULL
) WITHOUT ROWID;

-- A layer, named by its content. `source` says how to make its files or its tar (JSON); `directory` is the stored tree.
CREATE TABLE layers (
    content_id BLOB PRIMARY KEY,
    source TEXT NOT NULL,
    directory TEXT,
    entries INTEGER NOT NULL,
    size INTEGER NOT NULL,
    boot TEXT NOT NULL,
    created INTEGER NOT NULL
) WITHOUT ROWID;

-- A layer laid out on what lies below it: a stack of directories, bottom first (JSON). Layouts of one family are made of
-- the same recipe for different git trees, so that one can be a delta over another.
CREATE TABLE snapshots (
    layer BLOB NOT NULL,
    below BLOB NOT NULL,
    family BLOB,
    recipe TEXT NOT NULL,
    directories TEXT NOT NULL,
    boot TEXT NOT NULL,
    last_used INTEGER NOT NULL,
    PRIMARY KEY (layer, below)
) WITHOUT ROWID;
CREATE INDEX snapshots_by_family ON snapshots(family, last_used);

-- The compressed form of a layer, made when it first left.
CREATE TABLE layer_blobs (
    layer BLOB NOT NULL,
    encoding TEXT NOT NULL,
    blob TEXT NOT NULL,
    diff_id TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (layer, encoding)
) WITHOUT ROWID;

-- Running builds, and what they must keep.
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    boot TEXT NOT NULL,
    started INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE leases (
    run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    stage BLOB NOT NULL,
    PRIMARY KEY (run, stage)
) WITHOUT ROWID;
