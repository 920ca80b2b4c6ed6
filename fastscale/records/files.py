"""Atomic writing of files: a temporary file in the same folder is written, flushed to disk and renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from fastscale.errors import UserError
from fastscale.records.claim import is_superseded


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the temporary file replaces `path` unless the block raises.

    Raises:
        UserError: the disk is full, the folder cannot be written, or a later Slurm job has claimed the outputs.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:60]}-", suffix=path.suffix)
        os.close(descriptor)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; free space or correct the folder's rights") from None
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        if is_superseded():
            raise UserError(f"{path} is left as it is: a later Slurm job with other parameters has claimed it")
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; the old file, if any, is whole") from error
    finally:
        temporary.unlink(missing_ok=True)


@cache
def _umask() -> int:
    """Read the process's umask: the system tells it only to a call that sets another."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8, LF), whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())
