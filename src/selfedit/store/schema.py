"""L1. The ledger's tables."""

from __future__ import annotations

SCHEMA_VERSION = 2
"""Raised whenever a stored table changes its meaning; kept in the file as SQLite's `user_version`."""

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE stages (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, method TEXT NOT NULL, variant TEXT NOT NULL, version INTEGER,
    row TEXT NOT NULL, chain INTEGER, step INTEGER);
CREATE TABLE contexts (
    split TEXT, position INTEGER, id TEXT, body TEXT NOT NULL, PRIMARY KEY (split, id));
CREATE TABLE edits (
    stage TEXT REFERENCES stages, context_id TEXT, idx INTEGER, key TEXT, body TEXT NOT NULL, PRIMARY KEY (key, stage));
CREATE INDEX edits_in_order ON edits (stage, context_id, idx, key);
CREATE TABLE outcomes (
    stage TEXT REFERENCES stages, context_id TEXT, method TEXT, edit_key TEXT, seed_index INTEGER, key TEXT,
    body TEXT NOT NULL, PRIMARY KEY (key, stage, context_id, edit_key));
CREATE INDEX outcomes_in_order ON outcomes (stage, context_id, method, edit_key, seed_index, key);
CREATE TABLE scored (
    stage TEXT REFERENCES stages, context_id TEXT, edit_key TEXT, body TEXT NOT NULL,
    PRIMARY KEY (stage, context_id, edit_key));
CREATE TABLE policies (
    version INTEGER PRIMARY KEY, trained_on TEXT NOT NULL, seconds REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE versions (
    row TEXT, chain INTEGER, step INTEGER, body TEXT NOT NULL, PRIMARY KEY (row, chain, step));
CREATE TABLE timings (
    stage TEXT REFERENCES stages, part TEXT, seconds REAL NOT NULL, PRIMARY KEY (stage, part));
CREATE TABLE usages (
    stage TEXT REFERENCES stages, role TEXT, model TEXT, sent INTEGER, cached INTEGER, failed INTEGER,
    unmetered INTEGER, prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL, PRIMARY KEY (stage, role, model));
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

ORDERS = {
    "contexts": "split, position",
    "edits": "stage, context_id, idx, key",
    "outcomes": "stage, context_id, method, edit_key, seed_index, key",
    "scored": "stage, context_id, edit_key",
    "policies": "version",
    "versions": "row, chain, step",
    "stages": "name",
    "checks": "stage, context_id, edit_key",
    "previews": "stage, context_id, edit_key",
    "tallies": "stage, context_id, edit_key",
    "rethoughts": "stage, context_id, edit_key",
}
"""The tables of records, each with the order in which it is listed."""
LATER = ("checks", "previews", "tallies", "rethoughts")
"""Of these, tables that came later: each is there in runs that needed it, a record for each stage and self-edit, or of
`tallies` and `rethoughts` for each trial, whose key stands in the place of the self-edit's."""
LATER_COLUMNS = (
    "stage TEXT REFERENCES stages, context_id TEXT, edit_key TEXT, body TEXT NOT NULL, PRIMARY KEY (stage, edit_key)"
)
