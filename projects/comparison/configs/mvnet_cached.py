"""The same as mvnet.py, with the image network's maps read from a cache.

python -m projects.mvnet.tools.cache_maps projects/comparison/configs/mvnet.py --name mobilenetv2
"""

_base_ = "mvnet.py"

model = dict(teacher=dict(_delete_=True, type="CachedMaps", data_root=None, name="mobilenetv2"))
train_dataloader = dict(dataset=dict(type="ShapesWithMaps", maps="mobilenetv2"))
