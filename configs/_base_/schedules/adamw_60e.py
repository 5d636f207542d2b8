"""A short recipe for small sets: AdamW on a cosine, 60 epochs."""

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.05))
param_scheduler = [dict(type="CosineAnnealingLR", T_max=None, eta_min=1e-5, by_epoch=True)]

train_cfg = dict(by_epoch=True, max_epochs=60, val_interval=20)
val_cfg = dict()
test_cfg = dict()
