#!/usr/bin/env bash
# Run a tool under torchrun: _torchrun.sh TOOL [CONFIG] [CHECKPOINT] PROCESSES [arguments]; see dist_train.sh and dist_test.sh.
set -euo pipefail
tools=$(dirname "$0")
tool=$1
shift

inputs=()
while [ $# -gt 0 ] && ! [[ $1 =~ ^[0-9]+$ ]]; do
    case $1 in -*) break ;; esac
    inputs+=("$1")
    shift
done
if [ $# -eq 0 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
    echo "how many processes? for example: tools/dist_${tool%.py}.sh ${inputs[*]:-configs/pointmcd_dgcnn_modelnet.py} 8" >&2
    exit 2
fi
processes=$1
shift
if [ ${#inputs[@]} -eq 0 ]; then
    inputs=("$tools/../configs/pointmcd_dgcnn_modelnet.py")
fi

python "$tools/_environment.py"
# Processes on one machine's CPU share its cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(( ($(nproc) + processes - 1) / processes ))}
if [ -n "${NNODES:-}${PORT:-}" ]; then
    meet=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}"
        --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
else
    meet=(--standalone) # at a port that is free
fi
exec python -m pointmcd.commands.launch "${meet[@]}" --nproc_per_node="$processes" \
    "$tools/$tool" "${inputs[@]}" "$@"
