"""The same, with what a frozen teacher says of each point, and with shapes whose parts are not known: half of
each batch is labelled, the other half any.
"""

_base_ = "meshparts.py"

train_dataloader = dict(sampler=dict(share=0.5), dataset=dict(unlabelled="rest", teacher="frozen"))
