"""A short recipe for teachers on single views of small sets: AdamW, one cycle by iteration."""

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05))
param_scheduler = [dict(type="OneCycleLR", eta_max=1e-3, total_steps=None, convert_to_iter_based=True)]

train_cfg = dict(by_epoch=True, max_epochs=6, val_interval=6)
val_cfg = dict()
test_cfg = dict()
