#!/usr/bin/env bash
# Train on several processes: dist_train.sh [CONFIG] PROCESSES [arguments of tools/train.py]
# On several machines, on each: NNODES=2 NODE_RANK=0 MASTER_ADDR=first.machine PORT=29500 tools/dist_train.sh CONFIG 8
exec "$(dirname "$0")/_torchrun.sh" train.py "$@"
