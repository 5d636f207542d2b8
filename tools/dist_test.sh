#!/usr/bin/env bash
# Test on several processes: dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of tools/test.py]
# On several machines, on each: NNODES=2 NODE_RANK=0 MASTER_ADDR=first.machine PORT=29500 tools/dist_test.sh CONFIG CHECKPOINT 8
exec "$(dirname "$0")/_torchrun.sh" test.py "$@"
