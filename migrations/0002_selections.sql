-- What an import takes of a stack of layers, by what was asked for: read once, so that a source need not be laid out to see
-- that it holds the same as before.
CREATE TABLE selections (
    request BLOB PRIMARY KEY,
    selection BLOB NOT NULL
) WITHOUT ROWID;
