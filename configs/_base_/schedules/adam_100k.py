"""The official recipe for teachers on single views: Adam on a cosine by iteration, 100 000 of them.

They are counted as 100 epochs of 1000, so that a training that is resumed sees what an uninterrupted one
does; the sampler of the data draws 1000 batches an epoch.
"""

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4, weight_decay=1e-5))
param_scheduler = [
    dict(type="CosineAnnealingLR", T_max=None, eta_min=5e-6, convert_to_iter_based=True)
]  # None: max_epochs

train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=25)
val_cfg = dict()
test_cfg = dict()
