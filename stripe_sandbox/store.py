"""The store: Stripe's objects as JSON documents in one sqlite database.

A document is the object as Stripe shows it, with two differences: other objects appear as ids (resources
compose what Stripe embeds, such as subscription.items), and keys that begin with "_" are the sandbox's own
notes, never sent.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

Document = dict[str, Any]

# What lists filter by, per object type. Each becomes a partial index on an expression.
_INDEXED: dict[str, tuple[str, ...]] = {
    "billing_portal.session": ("_token",),
    "charge": ("customer", "payment_intent"),
    "checkout.session": ("customer", "subscription", "_payment_intent"),
    "customer": ("email", "test_clock"),
    "discount": ("subscription",),
    "dispute": ("charge", "payment_intent"),
    "event": ("type",),
    "invoice": ("customer", "parent.subscription_details.subscription"),
    "customer_balance_transaction": ("customer",),
    "invoice_payment": ("invoice", "payment.payment_intent"),
    "invoiceitem": ("customer", "invoice"),
    "line_item": ("invoice",),
    "payment_intent": ("customer",),
    "payment_method": ("customer",),
    "price": ("product", "lookup_key"),
    "promotion_code": ("_code", "promotion.coupon"),
    "refund": ("charge", "payment_intent"),
    "setup_attempt": ("setup_intent",),
    "setup_intent": ("customer",),
    "subscription": ("customer",),
    "subscription_item": ("subscription",),
    "subscription_schedule": ("customer", "subscription"),
}

# A few objects that many others ask for: every event for the endpoints, every invoice for the account. Which there are
# is remembered until one of them changes.
_FEW = ("account", "webhook_endpoint")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, object TEXT NOT NULL,
    created INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_by_type ON objects (object, seq);
CREATE TABLE IF NOT EXISTS due_work (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL, object_id TEXT NOT NULL,
    timeline TEXT NOT NULL DEFAULT '', rank INTEGER NOT NULL DEFAULT 5);
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, event TEXT NOT NULL, endpoint TEXT NOT
    NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_at REAL NOT NULL, created REAL NOT
    NULL, overtaken_by INTEGER NOT NULL DEFAULT 0, place REAL, chaos TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS deliveries_by_time ON deliveries (state, next_at, seq);
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event);
CREATE TABLE IF NOT EXISTS delivery_attempts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, delivery TEXT NOT NULL, at REAL NOT NULL, status INTEGER,
    error TEXT, milliseconds REAL NOT NULL);
CREATE INDEX IF NOT EXISTS attempts_by_delivery ON delivery_attempts (delivery);
CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, request_id TEXT NOT NULL, status INTEGER NOT NULL,
    body TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS meter_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, meter TEXT NOT NULL, identifier TEXT NOT NULL, customer TEXT NOT
    NULL, value TEXT NOT NULL, at INTEGER NOT NULL, created INTEGER NOT NULL, canceled INTEGER NOT NULL
    DEFAULT 0);
CREATE INDEX IF NOT EXISTS meter_events_by_customer ON meter_events (meter, customer, at);
CREATE INDEX IF NOT EXISTS meter_events_by_identifier ON meter_events (identifier, created);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_TABLES = (
    "objects",
    "due_work",
    "deliveries",
    "delivery_attempts",
    "idempotency",
    "meter_events",
    "settings",
)


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _expression(path: str) -> str:
    return f"json_extract(body, '$.{path}')"


class Store:
    """One connection, used by one thread at a time (the sandbox's lock sees to that)."""

    def __init__(self, path: str = ":memory:") -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        self._db.row_factory = sqlite3.Row
        # Documents read in this transaction. Whoever reads one again gets the same dict, so that no stale
        # copy can overwrite a change that another function has made meanwhile.
        self._read: dict[str, Document] | None = None
        self._few: dict[str, list[str]] = {}
        self._db.execute("PRAGMA journal_mode=WAL")
        # NORMAL: a crash of the machine may lose the last requests, never the consistency of the file.
        self._db.execute("PRAGMA synchronous=NORMAL")
        # Ids are random, so new ones land all over their index: let it stay in memory (at most 64 MB), and write a page
        # that changed often once per 16 MB of changes rather than per 4.
        self._db.execute("PRAGMA cache_size=-64000")
        self._db.execute("PRAGMA wal_autocheckpoint=4000")
        self._db.executescript(_SCHEMA)
        self._bring_up_to_date()
        for object_type, paths in _INDEXED.items():
            for path in paths:
                name = f"{object_type}_{path}".replace(".", "_")
                self._db.execute(
                    f"CREATE INDEX IF NOT EXISTS {name} ON objects ({_expression(path)}, seq) WHERE object "
                    f"= '{object_type}'"
                )

    def _bring_up_to_date(self) -> None:
        """Files written before test clocks know one timeline only, those before chaos no detours."""
        columns = [row["name"] for row in self._db.execute("PRAGMA table_info(due_work)")]
        if "timeline" not in columns:
            self._db.execute("ALTER TABLE due_work ADD COLUMN timeline TEXT NOT NULL DEFAULT ''")
        of_deliveries = [row["name"] for row in self._db.execute("PRAGMA table_info(deliveries)")]
        if "chaos" not in of_deliveries:
            for column in (
                "overtaken_by INTEGER NOT NULL DEFAULT 0",
                "place REAL",
                "chaos TEXT NOT NULL DEFAULT ''",
            ):
                self._db.execute(f"ALTER TABLE deliveries ADD COLUMN {column}")
        self._db.execute(
            "CREATE INDEX IF NOT EXISTS deliveries_to_overtake ON deliveries (endpoint) WHERE overtaken_by > 0"
        )
        self._db.execute("CREATE INDEX IF NOT EXISTS idempotency_by_age ON idempotency (created)")
        if "rank" not in columns:
            self._db.execute("ALTER TABLE due_work ADD COLUMN rank INTEGER NOT NULL DEFAULT 5")
        self._db.execute("CREATE INDEX IF NOT EXISTS due_work_by_rank ON due_work (timeline, at, rank, seq)")
        self._db.execute("CREATE INDEX IF NOT EXISTS due_work_by_object ON due_work (object_id)")

    # ------------------------------------------------------------ transactions
    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._read = {}

    def commit(self) -> None:
        self._read = None
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        self._read = None
        self._few.clear()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def close(self) -> None:
        self._db.close()

    def copy(self) -> sqlite3.Connection:
        """All that is stored, to come back to with `become`."""
        copied = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.backup(copied)
        return copied

    def become(self, copied: sqlite3.Connection) -> None:
        """Be what was copied, and nothing of what came since."""
        self._few.clear()
        copied.backup(self._db)

    def execute(self, sql: str, parameters: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Plain SQL, for the tables that are not documents (deliveries, due work, idempotency, settings)."""
        return self._db.execute(sql, tuple(parameters))

    def clear(self) -> None:
        self._few.clear()
        for table in _TABLES:
            self._db.execute(f"DELETE FROM {table}")

    # --------------------------------------------------------------- documents
    def get(self, object_id: str) -> Document | None:
        if self._read is not None and object_id in self._read:
            return self._read[object_id]
        row = self._db.execute("SELECT id, body FROM objects WHERE id = ?", (object_id,)).fetchone()
        return self._document(row) if row else None

    def _document(self, row: sqlite3.Row) -> Document:
        if self._read is None:
            return json.loads(row["body"])
        if row["id"] not in self._read:
            self._read[row["id"]] = json.loads(row["body"])
        return self._read[row["id"]]

    def insert(self, document: Document) -> Document:
        """Write a new document. Its `created` is what lists filter by (0 where Stripe has none)."""
        self._few.pop(document["object"], None)
        self._db.execute(
            "INSERT INTO objects (id, object, created, body) VALUES (?, ?, ?, ?)",
            (document["id"], document["object"], document.get("created") or 0, _encode(document)),
        )
        if self._read is not None:
            self._read[document["id"]] = document
        return document

    def save(self, document: Document) -> Document:
        """Write a changed document. A deleted one leaves the lists and stays retrievable."""
        self._few.pop(document["object"], None)
        self._db.execute(
            "UPDATE objects SET body = ?, deleted = ? WHERE id = ?",
            (_encode(document), int(document.get("deleted") is True), document["id"]),
        )
        if self._read is not None:
            self._read[document["id"]] = document
        return document

    def find(
        self,
        object_type: str,
        equal: dict[str, Any] | None = None,
        *,
        where: Iterable[tuple[str, Any]] = (),
        oldest_first: bool = True,
        limit: int | None = None,
    ) -> list[Document]:
        """Documents of one type whose values at the dotted paths of `equal` are these (a list means any of).

        `where` adds (SQL condition with one placeholder, value) pairs.
        """
        # The type is written out, not bound: sqlite takes a partial index only when it can prove the type.
        values: list[Any] = []
        conditions = [f"object = '{object_type}'", "deleted = 0"]
        for path, value in (equal or {}).items():
            if isinstance(value, list | tuple):
                conditions.append(f"{_expression(path)} IN ({', '.join('?' * len(value))})")
                values += value
            elif value is None:
                conditions.append(f"{_expression(path)} IS NULL")
            else:
                conditions.append(f"{_expression(path)} = ?")
                values.append(value)
        for condition, value in where:
            conditions.append(condition)
            values.append(value)
        order = "ASC" if oldest_first else "DESC"
        sql = f"SELECT id, body FROM objects WHERE {' AND '.join(conditions)} ORDER BY seq {order}"
        if limit is not None:
            sql += f" LIMIT {limit:d}"
        return [self._document(row) for row in self._db.execute(sql, values)]

    def all_of(self, object_type: str) -> list[Document]:
        """All documents of a type of which there are a few and which seldom change, oldest first."""
        assert object_type in _FEW, object_type
        ids = self._few.get(object_type)
        if ids is None:
            found = self.find(object_type)
            self._few[object_type] = [document["id"] for document in found]
            return found
        return [document for one in ids if (document := self.get(one)) is not None]

    def seq_of(self, object_id: str, object_type: str) -> int | None:
        """The position of an object in its lists, for cursors."""
        row = self._db.execute(
            "SELECT seq FROM objects WHERE id = ? AND object = ?", (object_id, object_type)
        ).fetchone()
        return row["seq"] if row else None

    # ---------------------------------------------------------------- settings
    def setting(self, name: str) -> Any:
        row = self._db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return json.loads(row["value"]) if row else None

    def set_setting(self, name: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value)))
