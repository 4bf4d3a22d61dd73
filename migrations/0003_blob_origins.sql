-- Where the compressed form of a layer can be had, when a stage storage of a registry has it; NULL for one made here.
ALTER TABLE layer_blobs ADD COLUMN origin TEXT;
