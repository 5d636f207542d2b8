"""The same, with what a frozen teacher says of each shape, and with those whose label is not known: half of
each batch is labelled, the other half any.
"""

_base_ = "meshes.py"

train_dataloader = dict(sampler=dict(share=0.5), dataset=dict(unlabelled="rest", teacher="frozen"))
