"""The table of known users in a SQLite file, and its statements."""

from bridge.edges.ledger.user_rows import USER_COLUMNS

TABLE = (
    """
    CREATE TABLE users (
        digest TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        until_s REAL NOT NULL,
        created_s REAL NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX users_until ON users (until_s)",
)
COLUMNS = ", ".join(USER_COLUMNS)
FIND_USER = f"SELECT {COLUMNS} FROM users WHERE digest = ? AND until_s > ?"  # noqa: S608 - of constants
KEEP_USER = f"INSERT OR REPLACE INTO users ({COLUMNS}) VALUES (?, ?, ?, ?)"  # noqa: S608 - of constants
DROP_USER = "DELETE FROM users WHERE digest = ? AND user_id = ?"
PURGE_USERS = "DELETE FROM users WHERE until_s < ?"
