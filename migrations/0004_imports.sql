-- What an import takes is named by its selection; a file that is not a directory also lands under its name.
DELETE FROM selections;
ALTER TABLE selections ADD COLUMN file_name TEXT;

-- The layer that an import of a selection makes at a place, for an owner; NULL when it makes nothing. So an import is made
-- once, whatever changes below it.
CREATE TABLE imports (
    import BLOB PRIMARY KEY,
    layer BLOB
) WITHOUT ROWID;

-- What was asked for of a stack of layers, and found: the number of an account, the place where an import lands.
CREATE TABLE findings (
    question BLOB PRIMARY KEY,
    answer TEXT NOT NULL
) WITHOUT ROWID;
