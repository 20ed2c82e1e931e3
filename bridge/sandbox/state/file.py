"""The state file: one JSON line for each changed row; the last line of a row counts."""

from pathlib import Path
from typing import Any, BinaryIO

import orjson


class StateFile:
    """Appends rows as they change, so that a killed sandbox loses nothing that it had committed."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def load(self) -> dict[str, dict[str, Any]]:
        """The rows by table and key, in the order in which they were first written."""
        tables: dict[str, dict[str, Any]] = {}
        if self._path is None or not self._path.exists():
            return tables
        for line in self._path.read_bytes().splitlines():
            try:
                table, key, row = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # a line cut by a kill in the middle of the write: that row was never committed
            rows = tables.setdefault(table, {})
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        return tables

    def rewrite(self, tables: dict[str, dict[str, Any]]) -> None:
        """Replaces the file by these rows."""
        self.close()
        if self._path is None:
            return
        new = self._path.with_suffix(self._path.suffix + ".new")
        lines = [orjson.dumps([table, key, row]) for table, rows in tables.items() for key, row in rows.items()]
        new.write_bytes(b"".join(line + b"\n" for line in lines))
        new.replace(self._path)

    def put(self, table: str, key: str, row: object) -> None:
        """Writes a row; None removes it."""
        if self._path is None:
            return
        if self._file is None:
            self._file = self._path.open("ab")
        self._file.write(orjson.dumps([table, key, row]) + b"\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
