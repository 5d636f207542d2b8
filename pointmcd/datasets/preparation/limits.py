"""What the preparation of one shape may take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one shape may take of a worker process; beyond it the shape is rejected.

    Attributes:
        seconds: None for any time.
        memory_gb: Of the process, 1e9 bytes (RLIMIT_DATA); None for any.
    """

    seconds: float | None = 600.0
    memory_gb: float | None = None
