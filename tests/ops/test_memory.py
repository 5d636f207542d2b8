"""Memory that is freed stays with the process once asked to."""

import subprocess
import sys


def test_freed_blocks_are_not_mapped_again():
    """The kernel maps fresh pages at the first touch and counts them as minor faults."""
    code = """
import resource, sys, torch
from pointmcd import ops
if not ops.keep_freed_memory():
    sys.exit(0)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(64 << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
assert faults() < 1000, faults()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
