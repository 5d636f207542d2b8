"""The same as mvnet_srunet_redkitchen.py, with the image network's maps read from a cache."""

_base_ = "mvnet_srunet_redkitchen.py"

model = dict(teacher=dict(_delete_=True, type="CachedMaps", data_root=None, name="mobilenetv2"))
train_dataloader = dict(dataset=dict(type="ShapesWithMaps", maps="mobilenetv2"))
