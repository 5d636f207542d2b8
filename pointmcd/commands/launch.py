"""Start a tool once for each process of a distributed run: torchrun, whose failures are one message.

The scripts tools/dist_train.sh and dist_test.sh call it; the arguments are those of torchrun.
"""

import logging
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the processes; the exit code is that of the one that failed first."""
    from torch.distributed import DistNetworkError, run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.ERROR)  # of the launcher alone: it logs which process it ends, and why
    try:
        run.run(run.parse_args(sys.argv[1:] if argv is None else argv))
    except ChildFailedError as error:
        failures = sorted(error.failures.items(), key=lambda failure: failure[1].timestamp)
        told = {rank: failure for rank, failure in failures if failure.error_file_data.get("timestamp")}
        if told and 0 not in told:  # rank 0 prints its message itself
            rank, failure = next(iter(told.items()))
            print(f"{failure.message} (said by rank {rank})", file=sys.stderr)
        rank, failure = next(iter(told.items() or failures))
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as stop:
        return 128 + stop.sigval
    except DistNetworkError as error:
        raise SystemExit(
            f"the processes cannot reach each other: {error}; is the port (PORT) taken?"
        ) from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
