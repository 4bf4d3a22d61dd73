-- The parts that a layer leaves in, by the most that it may leave in: all of them in one row, so that no crash leaves some of
-- them. Content ids, one after the other, which layer_blobs has the blobs of. What was known before was cut by another rule.
DROP TABLE layer_parts;
CREATE TABLE layer_parts (
    layer BLOB NOT NULL,
    most INTEGER NOT NULL,
    parts BLOB NOT NULL,
    PRIMARY KEY (layer, most)
) WITHOUT ROWID;
