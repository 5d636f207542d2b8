"""What all commands share."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def plain_errors() -> Iterator[None]:
    """End with the message alone where what the user gave is wrong or missing."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from None
