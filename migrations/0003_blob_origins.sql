-- Where the compressed form of a layer can be had, when a stage storage of a registry has it; NULL for one made here.
ALTER TABLE layer_blobs ADD COLUMN origin TEXT;

-- The parts that a layer leaves in, in order, when it leaves as several blobs: content ids, which layer_blobs has the blobs of.
CREATE TABLE layer_parts (
    layer BLOB NOT NULL,
    position INTEGER NOT NULL,
    part BLOB NOT NULL,
    PRIMARY KEY (layer, position)
) WITHOUT ROWID;

-- The directories of a stack of layers (see base_chain), absolute paths separated by line feeds: saves laying the stack out to
-- see what git content finds there.
CREATE TABLE directories (
    stack BLOB PRIMARY KEY,
    paths TEXT NOT NULL
) WITHOUT ROWID;
