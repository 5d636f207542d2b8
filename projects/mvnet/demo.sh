#!/usr/bin/env bash
# Built-in shapes, pre-training without labels, linear SVM, parts at 5 % of the labels: demo.sh [FOLDER]
# Under 10 minutes on two CPU cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
configs=projects/mvnet/configs
out=${1:-work_dirs/mvnet_demo}
data="data_root=$out/data"

python tools/prepare_data.py builtin --out "$out/data" --image-size 64 --points 1024 --depths
python tools/train.py $configs/teacher_autoencoder_builtin.py --resume --work-dir "$out/teacher" --cfg-options "$data"
python tools/train.py $configs/mvnet_dgcnn_builtin.py --resume --work-dir "$out/train" \
    --cfg-options "$data" model.teacher.checkpoint="$(cat "$out/teacher/last_checkpoint")"
trained=$(cat "$out/train/last_checkpoint")
options=("$data" model.teacher.checkpoint="$(cat "$out/teacher/last_checkpoint")")
for source in "$trained" random:0; do
    python tools/linear_svm.py "$source" --config $configs/mvnet_dgcnn_builtin.py --runs 1 \
        --out "$out/svm/$(basename "$source").json" --cfg-options "${options[@]}"
done
python tools/finetune.py $configs/part_segmentation_dgcnn_builtin.py --pretrained "$trained" --fractions 5 \
    --seeds 0 --out "$out/finetune" --cfg-options "$data"
