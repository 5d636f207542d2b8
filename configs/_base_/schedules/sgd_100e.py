"""The same for 100 epochs, for sets several times as large as ModelNet40."""

_base_ = "sgd_350e.py"

train_cfg = dict(max_epochs=100)
