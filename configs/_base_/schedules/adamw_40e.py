"""A short recipe for small sets with parts: AdamW on a cosine, 40 epochs."""

_base_ = "adamw_60e.py"

train_cfg = dict(max_epochs=40, val_interval=10)
