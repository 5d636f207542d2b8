"""The same for 250 epochs with less weight decay, as the official part segmentation students are trained."""

_base_ = "sgd_350e.py"

optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
train_cfg = dict(max_epochs=250)
