#!/usr/bin/env bash
# Built-in shapes, training without labels and every evaluation, 9 minutes on two CPU cores: demo.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/../.."
project=projects/cross_correspondence
out=${1:-work_dirs/cross_correspondence_demo}

python tools/prepare_data.py builtin --out "$out/data" --rig fibonacci36 --image-size 64 --points 1024 --visibility none
python tools/train.py $project/configs/cross_correspondence_dgcnn_builtin.py --resume --work-dir "$out/train" \
    --cfg-options data_root="$out/data"
python -m projects.cross_correspondence.evaluate \
    $project/configs/cross_correspondence_dgcnn_builtin.py "$(cat "$out/train/last_checkpoint")" \
    --out "$out/report" --cfg-options data_root="$out/data" \
    --part-config $project/configs/part_segmentation_builtin.py --part-options data_root="$out/data" --labels 5 100
