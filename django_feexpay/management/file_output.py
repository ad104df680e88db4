"""Write a file for a command: to standard output, or to a path that only a complete file replaces."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from django.core.management.base import CommandError

from django_feexpay.table_files import Chunks


def write(chunks: Chunks, path: str | None, stdout: Any) -> None:
    """Write the bytes to this path, or to `stdout` without one. Raises: CommandError."""
    with closing(chunks):
        if path:
            _replace(Path(path), chunks)
        else:
            _write(_binary(stdout), chunks)


def _binary(stdout: Any) -> IO[bytes]:
    stream = getattr(stdout, "_out", stdout)
    binary: IO[bytes] = getattr(stream, "buffer", sys.stdout.buffer)
    return binary


def _write(target: IO[bytes], chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        target.write(chunk)
    target.flush()


def _replace(path: Path, chunks: Iterable[bytes]) -> None:
    """Replace the file only by a complete export, which its owner alone can read."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            _write(file, chunks)
        part.replace(path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
