"""Results are written whole or not at all: a full disk or a signal leaves the file as it was before."""

import contextlib
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` (as UTF-8) beside ``path`` and then put it in its place; OSError, and nothing changed, if not.

    What is no file (a terminal, a pipe, ``/dev/null``) is written to, not replaced, and so is what a link points to.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    target = path.resolve()
    part = target.with_name(target.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        if target.exists():
            part.chmod(target.stat().st_mode & 0o7777)
        part.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
