"""The official recipe for students: SGD, learning rate 0.1 to 0.001 on a cosine, 350 epochs."""

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(type="CosineAnnealingLR", T_max=None, eta_min=1e-3, by_epoch=True)
]  # None: max_epochs

train_cfg = dict(by_epoch=True, max_epochs=350, val_interval=10)
val_cfg = dict()
test_cfg = dict()
