"""MVNet-style: features of ImageNet's MobileNetV2 at the pixels that show a point, and correspondences."""

_base_ = "../../mvnet/configs/_base_/mvnet.py"

data_root = "data/comparison"

model = dict(
    backbone=dict(type="DGCNNSeg", channels=(32, 32, 64), k=16, out_channels=512),
    teacher=dict(
        type="ImageNetwork",
        trunk="mobilenetv2_100",  # the network that the autoencoder of pointmcd.py starts from
        levels=[2, 3, 4],
        pretrained=True,  # or checkpoint="FILE.safetensors"
    ),
)
train_dataloader = dict(num_workers=0, dataset=dict(num_points=512))
train_cfg = dict(max_epochs=40)
