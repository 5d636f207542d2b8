"""The same as mvnet_dgcnn_builtin.py, with the image network's maps read from a cache.

python -m projects.mvnet.tools.cache_maps projects/mvnet/configs/mvnet_dgcnn_builtin.py --name autoencoder
"""

_base_ = "mvnet_dgcnn_builtin.py"

model = dict(teacher=dict(_delete_=True, type="CachedMaps", data_root=None, name="autoencoder"))
train_dataloader = dict(dataset=dict(type="ShapesWithMaps", maps="autoencoder"))
