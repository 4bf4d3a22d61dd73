//! The index: what the objects of a store are. The only place with SQL.
//!
//! SQLite in WAL mode with a busy timeout: many processes read and write at once. Schema changes are numbered files in
//! `migrations/`, applied in order under `user_version`; a change that old programs can't live with gets a new file name.
//!
//! *Invariant:* a row written in another boot is believed only when its layer directories are verified ([`Index::layer`]
//! says so by `verified`), as nothing is synced to disk on the hot path.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stages::{BlobId, ContentId, StageDigest};

use super::record::{
    Imported, LayerRecord, LayerSource, LayerUse, Selection, SnapshotRecord, StageRecord, StageSummary, StoredBlob,
};
use super::{Error, Home};

const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_index.sql"),
    include_str!("../../migrations/0002_selections.sql"),
    include_str!("../../migrations/0003_blob_origins.sql"),
    include_str!("../../migrations/0004_imports.sql"),
    include_str!("../../migrations/0005_parts.sql"),
];

/// Waits of one process for another's write end after this.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// An open index; one for each thread.
#[derive(Debug)]
pub struct Index {
    connection: Connection,
    path: String,
    boot: String,
}

impl Index {
    /// Opens the index of a store, making or migrating it when needed.
    ///
    /// # Errors
    /// [`Error::TooNew`] when a later version of this program wrote it.
    pub fn open(home: &Home) -> Result<Self, Error> {
        let path = home.index_path();
        match Self::open_file(&path, home.boot()) {
            Err(Error::Index { source, .. }) if is_broken(&source) => {
                set_aside(home, &path)?;
                Self::open_file(&path, home.boot())
            }
            other => other,
        }
    }

    fn open_file(file: &Path, boot: &str) -> Result<Self, Error> {
        let path = file.display().to_string();
        let sql = |source| Error::Index { path: path.clone(), source };
        let connection = Connection::open(file).map_err(sql)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sql)?;
        let known = MIGRATIONS.len() as i64;
        if version > known {
            return Err(Error::TooNew { path, found: version, known });
        }
        connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;").map_err(sql)?;
        let mut index = Self { connection, path, boot: boot.to_owned() };
        if version < known {
            index.migrate()?;
        }
        Ok(index)
    }

    fn migrate(&mut self) -> Result<(), Error> {
        let path = self.path.clone();
        let sql = |source| Error::Index { path: path.clone(), source };
        self.connection.pragma_update(None, "journal_mode", "WAL").map_err(sql)?;
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(sql)?;
        // Another process may have done it while this one waited.
        let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sql)?;
        for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
            transaction.execute_batch(migration).map_err(sql)?;
        }
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64).map_err(sql)?;
        transaction.commit().map_err(sql)
    }

    /// The stage of that digest.
    pub fn stage(&self, digest: &StageDigest) -> Result<Option<StageRecord>, Error> {
        self.stage_where("digest = ?1", digest.as_bytes())
    }

    /// A stage with that second key: one whose inputs held the same content.
    pub fn stage_by_content(&self, key: &ContentId) -> Result<Option<StageRecord>, Error> {
        self.stage_where("content_key = ?1", key.as_bytes())
    }

    /// All stages, the newest first.
    pub fn stages(&self) -> Result<Vec<StageSummary>, Error> {
        let mut statement = self.sql(self.connection.prepare_cached(
            "SELECT digest, image, platform, kind, slot, created, last_used, \
             (SELECT coalesce(sum(size), 0) FROM stage_layers JOIN layers ON layer = content_id WHERE stage = digest) \
             FROM stages ORDER BY created DESC, digest",
        ))?;
        let rows = statement
            .query_map([], |row| Ok(read_summary(row)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>);
        self.sql(rows)?.into_iter().collect()
    }

    /// The stages whose digests begin with these hexadecimal digits, the first `limit` of them.
    pub fn stages_beginning(&self, digits: &str, limit: u32) -> Result<Vec<StageDigest>, Error> {
        let query = "SELECT digest FROM stages WHERE substr(lower(hex(digest)), 1, length(?1)) = ?1 \
                     ORDER BY digest LIMIT ?2";
        let mut statement = self.sql(self.connection.prepare_cached(query))?;
        let rows = statement.query_map(params![digits, limit], |row| row.get(0).map(StageDigest::from_bytes));
        self.sql(rows.and_then(Iterator::collect))
    }

    /// When a stage was made here or came here, in seconds since the epoch.
    pub fn created(&self, digest: &StageDigest) -> Result<Option<i64>, Error> {
        let query = self
            .connection
            .query_row("SELECT created FROM stages WHERE digest = ?1", [digest.as_bytes()], |row| row.get(0))
            .optional();
        self.sql(query)
    }

    /// All compressed forms of a layer, and the references that they can be had by.
    pub fn layer_blobs(&self, layer: &ContentId) -> Result<Vec<(StoredBlob, Option<String>)>, Error> {
        let query = "SELECT blob, diff_id, size, origin FROM layer_blobs WHERE layer = ?1 ORDER BY encoding";
        let mut statement = self.sql(self.connection.prepare_cached(query))?;
        let rows = statement
            .query_map([layer.as_bytes()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get(3)?))
            })
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>);
        Ok(self.sql(rows)?.into_iter().filter_map(stored_blob).collect())
    }

    fn stage_where(&self, condition: &str, key: &[u8; 32]) -> Result<Option<StageRecord>, Error> {
        let query = format!(
            "SELECT digest, project, image, platform, kind, slot, parent, inputs, content_key, stages.content_id, json, \
             duration_ms, lineage FROM stages JOIN configs ON config = configs.content_id WHERE {condition} LIMIT 1"
        );
        let mut statement = self.sql(self.connection.prepare_cached(&query))?;
        let row = self.sql(statement.query_row([key], |row| Ok(read_stage(row))).optional())?;
        let Some(record) = row else { return Ok(None) };
        let Ok(mut record) = record else { return Ok(None) };
        record.layers = self.stage_layers(&record.digest)?;
        // A row that was forgotten in between, or damaged, is none.
        let whole = StageRecord::content_id_of(&record.layers, &record.config) == record.content_id;
        Ok(whole.then_some(record))
    }

    fn stage_layers(&self, digest: &StageDigest) -> Result<Vec<LayerUse>, Error> {
        let mut statement = self.sql(
            self.connection
                .prepare_cached("SELECT layer, created_by FROM stage_layers WHERE stage = ?1 ORDER BY position"),
        )?;
        let rows = statement.query_map([digest.as_bytes()], |row| {
            Ok(LayerUse { layer: ContentId::from_bytes(row.get(0)?), created_by: row.get(1)? })
        });
        self.sql(rows.and_then(Iterator::collect))
    }

    /// Saves a stage; one that is there already stays as it is.
    pub fn save_stage(&mut self, record: &StageRecord, now: i64) -> Result<(), Error> {
        let path = self.path.clone();
        let inputs = json(&record.inputs, "inputs")?;
        let config = stages::digest::Encoder::new("stager config");
        let config = {
            let mut encoder = config;
            encoder.bytes(&record.config);
            *encoder.finish().as_bytes()
        };
        let save = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            transaction
                .prepare_cached("INSERT OR IGNORE INTO configs (content_id, json) VALUES (?1, ?2)")?
                .execute(params![config, record.config])?;
            let inserted = transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO stages (digest, project, image, platform, kind, slot, parent, inputs, \
                     content_key, content_id, config, duration_ms, created, last_used, lineage) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14)",
                )?
                .execute(params![
                    record.digest.as_bytes(),
                    record.project.as_str(),
                    record.image.as_str(),
                    record.platform.to_string(),
                    record.kind.name(),
                    record.slot.name(),
                    record.parent.as_ref().map(StageDigest::as_bytes),
                    inputs,
                    record.content_key.as_bytes(),
                    record.content_id.as_bytes(),
                    config,
                    record.duration_ms as i64,
                    now,
                    record.lineage.as_bytes(),
                ])?;
            if inserted == 1 {
                let mut statement = transaction.prepare_cached(
                    "INSERT OR REPLACE INTO stage_layers (stage, position, layer, created_by) VALUES (?1, ?2, ?3, ?4)",
                )?;
                for (position, layer) in record.layers.iter().enumerate() {
                    statement.execute(params![
                        record.digest.as_bytes(),
                        position as i64,
                        layer.layer.as_bytes(),
                        layer.created_by
                    ])?;
                }
            }
            transaction.commit()
        };
        let mut save = save;
        save().map_err(|source| Error::Index { path, source })
    }

    /// Forgets a stage, whose objects were found missing or damaged.
    pub fn forget_stage(&mut self, digest: &StageDigest) -> Result<(), Error> {
        let path = self.path.clone();
        let mut forget = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            transaction.execute("DELETE FROM stage_layers WHERE stage = ?1", params![digest.as_bytes()])?;
            transaction.execute("DELETE FROM stages WHERE digest = ?1", params![digest.as_bytes()])?;
            transaction.commit()
        };
        forget().map_err(|source| Error::Index { path, source })
    }

    /// Runs look-ups against one state of the index, which is also the quickest way.
    pub fn reading<T, E: From<Error>>(&self, look_up: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.execute("BEGIN DEFERRED", [])?;
        let result = look_up();
        self.execute("COMMIT", [])?;
        result
    }

    /// Notes that stages were used at `now` (seconds since the epoch).
    pub fn touch_stages(&mut self, digests: &[StageDigest], now: i64) -> Result<(), Error> {
        let path = self.path.clone();
        let mut touch = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction()?;
            {
                let mut statement = transaction
                    .prepare_cached("UPDATE stages SET last_used = ?2 WHERE digest = ?1 AND last_used < ?2")?;
                for digest in digests {
                    statement.execute(params![digest.as_bytes(), now])?;
                }
            }
            transaction.commit()
        };
        touch().map_err(|source| Error::Index { path, source })
    }

    /// When a stage was last used, in seconds since the epoch.
    pub fn last_used(&self, digest: &StageDigest) -> Result<Option<i64>, Error> {
        let query = self
            .connection
            .query_row("SELECT last_used FROM stages WHERE digest = ?1", [digest.as_bytes()], |row| row.get(0))
            .optional();
        self.sql(query)
    }

    /// A layer, and whether it was written or verified in this boot.
    pub fn layer(&self, content_id: &ContentId) -> Result<Option<(LayerRecord, bool)>, Error> {
        let mut statement = self.sql(
            self.connection.prepare_cached("SELECT source, entries, size, boot FROM layers WHERE content_id = ?1"),
        )?;
        let row = self.sql(
            statement
                .query_row([content_id.as_bytes()], |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, i64>(1)?,
                        row.get::<_, i64>(2)?,
                        row.get::<_, String>(3)?,
                    ))
                })
                .optional(),
        )?;
        let Some((source, entries, size, boot)) = row else { return Ok(None) };
        let source: LayerSource = parse(&source, "layer source")?;
        let trusted = boot == self.boot || !matches!(source, LayerSource::Directory { .. });
        let record = LayerRecord { content_id: *content_id, source, entries: entries as u64, size: size as u64 };
        Ok(Some((record, trusted)))
    }

    /// Saves a layer. Returns whether it was new: when not, the stored one stays, and the caller's copy is not needed.
    pub fn save_layer(&self, record: &LayerRecord, now: i64) -> Result<bool, Error> {
        let source = json(&record.source, "layer source")?;
        let directory = match &record.source {
            LayerSource::Directory { directory, .. } => Some(directory.as_str()),
            _ => None,
        };
        let mut statement = self.sql(self.connection.prepare_cached(
            "INSERT OR IGNORE INTO layers (content_id, source, directory, entries, size, boot, created) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        ))?;
        let inserted = self.sql(statement.execute(params![
            record.content_id.as_bytes(),
            source,
            directory,
            record.entries as i64,
            record.size as i64,
            self.boot,
            now
        ]))?;
        Ok(inserted == 1)
    }

    /// Saves a layer that is a recipe. One that is there takes the new recipe: it gives the same content, from objects that
    /// are at hand.
    pub fn save_recipe(&self, record: &LayerRecord, now: i64) -> Result<(), Error> {
        self.execute(
            "INSERT INTO layers (content_id, source, directory, entries, size, boot, created) \
             VALUES (?1, ?2, NULL, ?3, ?4, ?5, ?6) ON CONFLICT (content_id) DO UPDATE SET source = excluded.source",
            params![
                record.content_id.as_bytes(),
                json(&record.source, "layer source")?,
                record.entries as i64,
                record.size as i64,
                self.boot,
                now
            ],
        )
    }

    /// Replaces what is known of a layer, whose stored directory was missing or damaged.
    pub fn replace_layer(&mut self, record: &LayerRecord, now: i64) -> Result<(), Error> {
        let (path, boot) = (self.path.clone(), self.boot.clone());
        let source = json(&record.source, "layer source")?;
        let LayerSource::Directory { directory, .. } = &record.source else { return self.save_recipe(record, now) };
        let id = record.content_id.as_bytes();
        let mut replace = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            transaction.execute("DELETE FROM snapshots WHERE layer = ?1", params![id])?;
            transaction.execute(
                "INSERT OR REPLACE INTO layers (content_id, source, directory, entries, size, boot, created) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![id, source, directory, record.entries as i64, record.size as i64, boot, now],
            )?;
            transaction.commit()
        };
        replace().map_err(|source| Error::Index { path, source })
    }

    /// Notes that a layer's directory was read and is what its name says.
    pub fn layer_verified(&self, content_id: &ContentId) -> Result<(), Error> {
        self.execute("UPDATE layers SET boot = ?2 WHERE content_id = ?1", params![content_id.as_bytes(), self.boot])
    }

    /// Forgets a layer, whose directory is missing or damaged.
    pub fn forget_layer(&self, content_id: &ContentId) -> Result<(), Error> {
        self.execute("DELETE FROM snapshots WHERE layer = ?1", params![content_id.as_bytes()])?;
        self.execute("DELETE FROM layers WHERE content_id = ?1", params![content_id.as_bytes()])
    }

    /// The layout of a layer on a stack. One of another boot is not believed.
    pub fn snapshot(&self, layer: &ContentId, below: &ContentId) -> Result<Option<SnapshotRecord>, Error> {
        let mut statement = self.sql(self.connection.prepare_cached(
            "SELECT layer, below, family, recipe, directories FROM snapshots \
             WHERE layer = ?1 AND below = ?2 AND boot = ?3",
        ))?;
        let row = statement
            .query_row(params![layer.as_bytes(), below.as_bytes(), self.boot], |row| Ok(read_snapshot(row)))
            .optional();
        self.sql(row)?.transpose()
    }

    /// The directory that holds all files of a layer, if it was laid out as one in this boot.
    pub fn whole_layout(&self, layer: &ContentId) -> Result<Option<String>, Error> {
        let mut statement = self
            .sql(self.connection.prepare_cached("SELECT directories FROM snapshots WHERE layer = ?1 AND boot = ?2"))?;
        let rows = statement
            .query_map(params![layer.as_bytes(), self.boot], |row| row.get::<_, String>(0))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>);
        for row in self.sql(rows)? {
            let mut directories: Vec<String> = parse(&row, "directories")?;
            if directories.len() == 1 {
                return Ok(directories.pop());
            }
        }
        Ok(None)
    }

    /// The layouts of a family, the latest used first.
    pub fn relatives(&self, family: &ContentId, limit: u32) -> Result<Vec<SnapshotRecord>, Error> {
        let mut statement = self.sql(self.connection.prepare_cached(
            "SELECT layer, below, family, recipe, directories FROM snapshots \
             WHERE family = ?1 AND boot = ?2 ORDER BY last_used DESC LIMIT ?3",
        ))?;
        let rows = statement
            .query_map(params![family.as_bytes(), self.boot, limit], |row| Ok(read_snapshot(row)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>);
        self.sql(rows)?.into_iter().collect()
    }

    /// Saves a layout.
    pub fn save_snapshot(&self, record: &SnapshotRecord, now: i64) -> Result<(), Error> {
        self.execute(
            "INSERT OR REPLACE INTO snapshots (layer, below, family, recipe, directories, boot, last_used) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                record.layer.as_bytes(),
                record.below.as_bytes(),
                record.family.as_ref().map(ContentId::as_bytes),
                json(&record.source, "layer source")?,
                json(&record.directories, "directories")?,
                self.boot,
                now
            ],
        )
    }

    /// Forgets a layout whose directories are missing.
    pub fn forget_snapshot(&self, layer: &ContentId, below: &ContentId) -> Result<(), Error> {
        self.execute(
            "DELETE FROM snapshots WHERE layer = ?1 AND below = ?2",
            params![layer.as_bytes(), below.as_bytes()],
        )
    }

    /// Forgets the layouts of earlier boots; returns the directories that nothing uses any more.
    pub fn drop_stale_snapshots(&self) -> Result<Vec<String>, Error> {
        let stale: i64 = self.sql(self.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM snapshots WHERE boot <> ?1)",
            [&self.boot],
            |row| row.get(0),
        ))?;
        if stale == 0 {
            return Ok(Vec::new());
        }
        let mut statement =
            self.sql(self.connection.prepare("DELETE FROM snapshots WHERE boot <> ?1 RETURNING directories"))?;
        let rows = statement
            .query_map([&self.boot], |row| row.get::<_, String>(0))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>);
        let mut directories = std::collections::BTreeSet::new();
        for row in self.sql(rows)? {
            directories.extend(parse::<Vec<String>>(&row, "directories")?);
        }
        Ok(directories.into_iter().collect())
    }

    /// The compressed form of a layer, and the reference that it can be had by when a registry has it.
    pub fn layer_blob(&self, layer: &ContentId, encoding: &str) -> Result<Option<(StoredBlob, Option<String>)>, Error> {
        let mut statement = self.sql(self.connection.prepare_cached(
            "SELECT blob, diff_id, size, origin FROM layer_blobs WHERE layer = ?1 AND encoding = ?2",
        ))?;
        let row = statement
            .query_row(params![layer.as_bytes(), encoding], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get(3)?))
            })
            .optional();
        Ok(self.sql(row)?.and_then(stored_blob))
    }

    /// Saves the compressed form of a layer; `origin` is the reference that it can be had by.
    pub fn save_layer_blob(
        &self,
        layer: &ContentId,
        encoding: &str,
        blob: &StoredBlob,
        origin: Option<&str>,
    ) -> Result<(), Error> {
        self.execute(
            "INSERT OR REPLACE INTO layer_blobs (layer, encoding, blob, diff_id, size, origin) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                layer.as_bytes(),
                encoding,
                blob.blob.to_string(),
                blob.diff_id.to_string(),
                blob.size as i64,
                origin
            ],
        )
    }

    /// Forgets that a blob can be had anywhere: layers that are kept as this blob, and what is known of its whereabouts. Where
    /// one is lost others may be, so what else was to be had by the same references is forgotten too.
    pub fn forget_blob(&self, blob: &BlobId) -> Result<(), Error> {
        self.execute(
            "DELETE FROM layer_blobs WHERE blob = ?1 OR origin IN (SELECT origin FROM layer_blobs WHERE blob = ?1)",
            params![blob.to_string()],
        )?;
        self.execute(
            "DELETE FROM layers WHERE json_extract(source, '$.type') IN ('blob', 'parts') AND instr(source, ?1) > 0",
            params![blob.to_string()],
        )
    }

    /// The parts that a layer leaves in when it may leave in at most so many, if they are known.
    pub fn layer_parts(&self, layer: &ContentId, most: usize) -> Result<Option<Vec<ContentId>>, Error> {
        let mut statement =
            self.sql(self.connection.prepare_cached("SELECT parts FROM layer_parts WHERE layer = ?1 AND most = ?2"))?;
        let row =
            statement.query_row(params![layer.as_bytes(), most as i64], |row| row.get::<_, Vec<u8>>(0)).optional();
        let ids = |parts: Vec<u8>| {
            let (ids, _) = parts.as_chunks::<32>();
            ids.iter().copied().map(ContentId::from_bytes).collect()
        };
        Ok(self.sql(row)?.map(ids))
    }

    /// Saves the parts that a layer leaves in when it may leave in at most so many.
    pub fn save_layer_parts(&self, layer: &ContentId, most: usize, parts: &[ContentId]) -> Result<(), Error> {
        let parts: Vec<u8> = parts.iter().flat_map(|part| *part.as_bytes()).collect();
        self.execute(
            "INSERT OR REPLACE INTO layer_parts (layer, most, parts) VALUES (?1, ?2, ?3)",
            params![layer.as_bytes(), most as i64, parts],
        )
    }

    /// The directories of a stack of layers, if they were listed: absolute paths, sorted, one a line.
    pub fn directories(&self, stack: &ContentId) -> Result<Option<String>, Error> {
        let mut statement =
            self.sql(self.connection.prepare_cached("SELECT paths FROM directories WHERE stack = ?1"))?;
        let row = statement.query_row([stack.as_bytes()], |row| row.get(0)).optional();
        self.sql(row)
    }

    /// Saves the directories of a stack of layers.
    pub fn save_directories(&self, stack: &ContentId, paths: &str) -> Result<(), Error> {
        self.execute(
            "INSERT OR REPLACE INTO directories (stack, paths) VALUES (?1, ?2)",
            params![stack.as_bytes(), paths],
        )
    }

    /// What was asked for of a stack of layers, if that was saved.
    pub fn selection(&self, request: &ContentId) -> Result<Option<Selection>, Error> {
        let query = "SELECT selection, file_name FROM selections WHERE request = ?1";
        let mut statement = self.sql(self.connection.prepare_cached(query))?;
        let row = statement.query_row([request.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional();
        Ok(self.sql(row)?.map(|(id, file_name)| Selection { id: ContentId::from_bytes(id), file_name }))
    }

    /// Saves what was found for a request.
    pub fn save_selection(&self, request: &ContentId, selection: &Selection) -> Result<(), Error> {
        self.execute(
            "INSERT OR REPLACE INTO selections (request, selection, file_name) VALUES (?1, ?2, ?3)",
            params![request.as_bytes(), selection.id.as_bytes(), selection.file_name],
        )
    }

    /// What an import makes, if that was saved.
    pub fn import(&self, import: &ContentId) -> Result<Option<Imported>, Error> {
        let mut statement = self.sql(self.connection.prepare_cached("SELECT layer FROM imports WHERE import = ?1"))?;
        let row = statement.query_row([import.as_bytes()], |row| row.get::<_, Option<[u8; 32]>>(0)).optional();
        Ok(self.sql(row)?.map(|layer| Imported { layer: layer.map(ContentId::from_bytes) }))
    }

    /// Saves what an import makes.
    pub fn save_import(&self, import: &ContentId, made: &Imported) -> Result<(), Error> {
        self.execute(
            "INSERT OR REPLACE INTO imports (import, layer) VALUES (?1, ?2)",
            params![import.as_bytes(), made.layer.as_ref().map(ContentId::as_bytes)],
        )
    }

    /// The answer to a question about a stack of layers, if it was saved.
    pub fn finding(&self, question: &ContentId) -> Result<Option<String>, Error> {
        let mut statement =
            self.sql(self.connection.prepare_cached("SELECT answer FROM findings WHERE question = ?1"))?;
        let row = statement.query_row([question.as_bytes()], |row| row.get(0)).optional();
        self.sql(row)
    }

    /// Saves the answer to a question about a stack of layers.
    pub fn save_finding(&self, question: &ContentId, answer: &str) -> Result<(), Error> {
        self.execute(
            "INSERT OR REPLACE INTO findings (question, answer) VALUES (?1, ?2)",
            params![question.as_bytes(), answer],
        )
    }

    /// A value of the store as a whole.
    pub fn meta(&self, key: &str) -> Result<Option<String>, Error> {
        let query =
            self.connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional();
        self.sql(query)
    }

    /// Sets a value of the store as a whole.
    pub fn set_meta(&self, key: &str, value: &str) -> Result<(), Error> {
        self.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", params![key, value])
    }

    /// Forgets all stages and layers: their directories belong to user ids that this process doesn't have.
    pub fn forget_everything(&mut self) -> Result<(), Error> {
        let batch = "BEGIN IMMEDIATE; DELETE FROM stage_layers; DELETE FROM stages; DELETE FROM snapshots; \
                     DELETE FROM layer_blobs; DELETE FROM layer_parts; DELETE FROM layers; DELETE FROM selections; \
                     DELETE FROM imports; DELETE FROM findings; DELETE FROM directories; \
                     COMMIT;";
        self.sql(self.connection.execute_batch(batch))
    }

    /// Registers a running build, and the stages that it must be able to read until it ends.
    pub fn take_leases(&mut self, run: &str, stages: &[StageDigest], now: i64) -> Result<(), Error> {
        let (path, boot) = (self.path.clone(), self.boot.clone());
        let mut take = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT OR IGNORE INTO runs (id, pid, boot, started) VALUES (?1, ?2, ?3, ?4)",
                params![run, i64::from(std::process::id()), boot, now],
            )?;
            {
                let mut statement =
                    transaction.prepare_cached("INSERT OR IGNORE INTO leases (run, stage) VALUES (?1, ?2)")?;
                for stage in stages {
                    statement.execute(params![run, stage.as_bytes()])?;
                }
            }
            transaction.commit()
        };
        take().map_err(|source| Error::Index { path, source })
    }

    /// Ends the leases of builds that are gone: of another boot, or whose process `is_alive` denies.
    pub fn reap_leases(&self, is_alive: impl Fn(i64) -> bool) -> Result<(), Error> {
        let mut statement = self.sql(self.connection.prepare_cached("SELECT id, pid, boot FROM runs"))?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>);
        for (run, pid, boot) in self.sql(rows)? {
            if boot != self.boot || !is_alive(pid) {
                self.drop_leases(&run)?;
            }
        }
        Ok(())
    }

    /// Ends a build's leases.
    pub fn drop_leases(&self, run: &str) -> Result<(), Error> {
        self.execute("DELETE FROM runs WHERE id = ?1", params![run])
    }

    fn execute(&self, statement: &str, parameters: impl rusqlite::Params) -> Result<(), Error> {
        let run = self.connection.prepare_cached(statement).and_then(|mut statement| statement.execute(parameters));
        self.sql(run).map(|_changed| ())
    }

    fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T, Error> {
        result.map_err(|source| Error::Index { path: self.path.clone(), source })
    }
}

fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// Moves a broken database away, for whoever wants to look at it, and all that only it could name with it.
fn set_aside(home: &Home, path: &Path) -> Result<(), Error> {
    let broken =
        (0_u32..1000).map(|count| path.with_extension(format!("db.broken-{count}"))).find(|path| !path.exists());
    fs_err::rename(path, broken.unwrap_or_else(|| path.with_extension("db.broken")))?;
    for suffix in ["db-wal", "db-shm"] {
        home.discard(&path.with_extension(suffix))?;
    }
    for entry in fs_err::read_dir(home.snapshot(""))? {
        home.discard(&entry?.path())?;
    }
    Ok(())
}

fn read_stage(row: &Row<'_>) -> Result<StageRecord, Error> {
    let sql = |source| Error::Index { path: "index".to_owned(), source };
    let text = |column: usize| row.get::<_, String>(column).map_err(sql);
    let bytes = |column: usize| row.get::<_, [u8; 32]>(column).map_err(sql);
    let quoted = |column: usize| text(column).map(serde_json::Value::String);
    let what = "stage";
    let value = |column: usize| quoted(column);
    Ok(StageRecord {
        digest: StageDigest::from_bytes(bytes(0)?),
        project: from_value(value(1)?, what)?,
        image: text(2)?.parse().map_err(|error: stages::IdError| corrupt(what, error))?,
        platform: from_value(value(3)?, what)?,
        kind: from_value(value(4)?, what)?,
        slot: from_value(value(5)?, what)?,
        parent: row.get::<_, Option<[u8; 32]>>(6).map_err(sql)?.map(StageDigest::from_bytes),
        inputs: parse(&text(7)?, "inputs")?,
        content_key: ContentId::from_bytes(bytes(8)?),
        content_id: ContentId::from_bytes(bytes(9)?),
        config: row.get(10).map_err(sql)?,
        layers: Vec::new(),
        duration_ms: row.get::<_, i64>(11).map_err(sql)? as u64,
        lineage: ContentId::from_bytes(bytes(12)?),
    })
}

fn read_summary(row: &Row<'_>) -> Result<StageSummary, Error> {
    let sql = |source| Error::Index { path: "index".to_owned(), source };
    let text = |column: usize| row.get::<_, String>(column).map_err(sql);
    let what = "stage";
    Ok(StageSummary {
        digest: StageDigest::from_bytes(row.get(0).map_err(sql)?),
        image: text(1)?.parse().map_err(|error: stages::IdError| corrupt(what, error))?,
        platform: from_value(text(2)?.into(), what)?,
        kind: from_value(text(3)?.into(), what)?,
        slot: from_value(text(4)?.into(), what)?,
        created: row.get(5).map_err(sql)?,
        last_used: row.get(6).map_err(sql)?,
        size: row.get::<_, i64>(7).map_err(sql)? as u64,
    })
}

/// A compressed form as its row says it; one that can't be read is none.
fn stored_blob(row: (String, String, i64, Option<String>)) -> Option<(StoredBlob, Option<String>)> {
    let (blob, diff_id, size, origin) = row;
    let (blob, diff_id): (BlobId, BlobId) = (blob.parse().ok()?, diff_id.parse().ok()?);
    Some((StoredBlob { blob, diff_id, size: size as u64 }, origin))
}

fn read_snapshot(row: &Row<'_>) -> Result<SnapshotRecord, Error> {
    let sql = |source| Error::Index { path: "index".to_owned(), source };
    Ok(SnapshotRecord {
        layer: ContentId::from_bytes(row.get(0).map_err(sql)?),
        below: ContentId::from_bytes(row.get(1).map_err(sql)?),
        family: row.get::<_, Option<[u8; 32]>>(2).map_err(sql)?.map(ContentId::from_bytes),
        source: parse(&row.get::<_, String>(3).map_err(sql)?, "layer source")?,
        directories: parse(&row.get::<_, String>(4).map_err(sql)?, "directories")?,
    })
}

fn json(value: &impl Serialize, what: &'static str) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Corrupt { what, source })
}

fn parse<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|source| Error::Corrupt { what, source })
}

fn from_value<T: DeserializeOwned>(value: serde_json::Value, what: &'static str) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|source| Error::Corrupt { what, source })
}

fn corrupt(what: &'static str, error: stages::IdError) -> Error {
    Error::Corrupt { what, source: serde::de::Error::custom(error) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stages::kind::{Slot, StageKind};

    use super::*;

    fn record() -> StageRecord {
        let layers = vec![LayerUse { layer: ContentId::from_bytes([5; 32]), created_by: "x".to_owned() }];
        StageRecord {
            digest: StageDigest::from_bytes([1; 32]),
            project: "shop".parse().unwrap(),
            image: "app".parse().unwrap(),
            platform: "linux/amd64".parse().unwrap(),
            kind: StageKind::FromImage,
            slot: Slot::new("fromImage"),
            parent: Some(StageDigest::from_bytes([2; 32])),
            inputs: BTreeMap::from([("a".to_owned(), "b".into())]),
            content_key: ContentId::from_bytes([3; 32]),
            content_id: StageRecord::content_id_of(&layers, b"{}"),
            lineage: ContentId::from_bytes([6; 32]),
            config: b"{}".to_vec(),
            layers,
            duration_ms: 7,
        }
    }

    fn index(dir: &Path, boot: &str) -> Index {
        Index::open_file(&dir.join("index-v1.db"), boot).unwrap()
    }

    #[test]
    fn stages_are_listed_and_found_by_their_first_digits() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = index(dir.path(), "boot");
        for (first, now) in [(0xab, 1), (0xac, 3), (0xbc, 2)] {
            let mut record = record();
            let mut digest = [7; 32];
            digest[0] = first;
            record.digest = StageDigest::from_bytes(digest);
            index.save_stage(&record, now).unwrap();
        }
        let listed: Vec<(i64, String)> = index
            .stages()
            .unwrap()
            .iter()
            .map(|stage| (stage.created, stage.digest.to_string()[..2].to_owned()))
            .collect();
        assert_eq!(listed, [(3, "ac".to_owned()), (2, "bc".to_owned()), (1, "ab".to_owned())]);
        for (digits, found) in [("a", 2), ("ab07", 1), ("bc", 1), ("%", 0), ("AB", 0)] {
            assert_eq!(index.stages_beginning(digits, 9).unwrap().len(), found, "{digits}");
        }
        assert_eq!(index.stages_beginning("", 2).unwrap().len(), 2, "no more than asked for");
    }

    #[test]
    fn stages_come_back_as_saved() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = index(dir.path(), "boot");
        index.save_stage(&record(), 10).unwrap();
        assert_eq!(index.stage(&record().digest).unwrap(), Some(record()));
        assert_eq!(index.stage_by_content(&record().content_key).unwrap(), Some(record()));
        index.touch_stages(&[record().digest], 20).unwrap();
        assert_eq!(index.last_used(&record().digest).unwrap(), Some(20));
        index.forget_stage(&record().digest).unwrap();
        assert_eq!(index.stage(&record().digest).unwrap(), None);
    }

    #[test]
    fn a_lost_blob_takes_what_came_by_the_same_reference_along() {
        let dir = tempfile::tempdir().unwrap();
        let index = index(dir.path(), "boot");
        let id = |byte| ContentId::from_bytes([byte; 32]);
        let blob = |byte| StoredBlob {
            blob: BlobId::from_bytes([byte; 32]),
            diff_id: BlobId::from_bytes([byte + 100; 32]),
            size: 1,
        };
        for (byte, origin) in [(1, Some("r/a:1")), (2, Some("r/a:1")), (3, Some("r/a:2")), (4, None)] {
            index.save_layer_blob(&id(byte), "gzip", &blob(byte), origin).unwrap();
        }
        index.forget_blob(&blob(1).blob).unwrap();
        let known = |byte| index.layer_blob(&id(byte), "gzip").unwrap().is_some();
        assert_eq!([1, 2, 3, 4].map(known), [false, false, true, true]);
        index.forget_blob(&blob(4).blob).unwrap();
        assert_eq!([3, 4].map(known), [true, false]);
    }

    #[test]
    fn parts_are_kept_by_how_many_there_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let index = index(dir.path(), "boot");
        let id = |byte| ContentId::from_bytes([byte; 32]);
        index.save_layer_parts(&id(1), 64, &[id(2), id(3), id(4)]).unwrap();
        index.save_layer_parts(&id(1), 32, &[id(5)]).unwrap();
        index.save_layer_parts(&id(1), 64, &[id(2), id(6)]).unwrap();
        assert_eq!(index.layer_parts(&id(1), 64).unwrap(), Some(vec![id(2), id(6)]));
        assert_eq!(index.layer_parts(&id(1), 32).unwrap(), Some(vec![id(5)]));
        assert_eq!(index.layer_parts(&id(2), 64).unwrap(), None);
    }

    #[test]
    fn a_stage_without_its_layers_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = index(dir.path(), "boot");
        index.save_stage(&record(), 10).unwrap();
        index.connection.execute("DELETE FROM stage_layers", []).unwrap();
        assert_eq!(index.stage(&record().digest).unwrap(), None);
    }

    #[test]
    fn a_broken_database_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path(), rustix::process::geteuid().as_raw()).unwrap();
        fs_err::write(home.index_path(), b"this is not a database, and long enough to be looked at as one".repeat(20))
            .unwrap();
        let mut index = Index::open(&home).unwrap();
        index.save_stage(&record(), 10).unwrap();
        assert!(dir.path().join("index-v1.db.broken-0").exists());
    }

    #[test]
    fn another_boot_trusts_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let layer = LayerRecord {
            content_id: ContentId::from_bytes([5; 32]),
            source: LayerSource::Directory { directory: "d".to_owned(), place: None },
            entries: 1,
            size: 2,
        };
        assert!(index(dir.path(), "one").save_layer(&layer, 1).unwrap());
        assert!(!index(dir.path(), "one").save_layer(&layer, 1).unwrap());
        assert_eq!(index(dir.path(), "one").layer(&layer.content_id).unwrap(), Some((layer.clone(), true)));
        let other = index(dir.path(), "two");
        assert_eq!(other.layer(&layer.content_id).unwrap(), Some((layer.clone(), false)));
        other.layer_verified(&layer.content_id).unwrap();
        assert_eq!(other.layer(&layer.content_id).unwrap(), Some((layer, true)));
    }

    #[test]
    fn a_later_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let opened = index(dir.path(), "boot");
        opened.connection.pragma_update(None, "user_version", 99).unwrap();
        drop(opened);
        let error = Index::open_file(&dir.path().join("index-v1.db"), "boot").unwrap_err();
        assert!(matches!(error, Error::TooNew { found: 99, .. }), "{error}");
    }

    #[test]
    fn processes_write_at_once() {
        let dir = tempfile::tempdir().unwrap();
        drop(index(dir.path(), "boot"));
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let path = dir.path();
                scope.spawn(move || {
                    let mut index = index(path, "boot");
                    for count in 0..20_u8 {
                        let mut record = record();
                        record.digest = StageDigest::from_bytes([thread + 4 * count; 32]);
                        index.save_stage(&record, 1).unwrap();
                    }
                });
            }
        });
        let stored: i64 = index(dir.path(), "boot")
            .connection
            .query_row("SELECT count(*) FROM stages", [], |row| row.get(0))
            .unwrap();
        assert_eq!(stored, 80);
    }
}
