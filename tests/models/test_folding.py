"""Networks with their batch norms folded: the same features, fewer modules, and a hash that stays."""

import pytest
import torch
from mmengine.device import get_device
from torch import nn

from pointmcd import ops
from pointmcd.models.teachers.folding import fold_norms
from pointmcd.models.teachers.frozen import FrozenTrunk


def filled(network):
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return network.eval()


@pytest.mark.parametrize("name", ["mobilenetv2_035", "test_resnet"])
def test_features_and_the_hash_stay_and_no_norm_is_left(name):
    trunk = FrozenTrunk(name, random_weights=True, input_size=0, normalization="unit")
    filled(trunk.network)
    views = torch.randint(0, 256, (2, 2, 3, 48, 48), dtype=torch.uint8)
    before, digest = trunk(views), trunk.weights_sha256()
    trunk.hasten()
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in trunk.modules())
    assert trunk.weights_sha256() == digest
    torch.testing.assert_close(trunk(views), before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


@pytest.mark.skipif(not ops.has_bfloat16(get_device(), of_images=True), reason="no products in bfloat16 here")
def test_bfloat16_is_close_and_is_said_in_the_settings():
    exact = FrozenTrunk("test_resnet", random_weights=True, input_size=0, normalization="unit")
    rough = FrozenTrunk(
        "test_resnet", random_weights=True, input_size=0, normalization="unit", precision="bfloat16"
    )
    rough.load_state_dict(exact.state_dict())
    assert rough.settings == {**exact.settings, "precision": "bfloat16"}
    rough.hasten()
    views = torch.randint(0, 256, (1, 2, 3, 48, 48), dtype=torch.uint8)
    said, expected = rough(views), exact(views)
    assert said.dtype == torch.float32
    assert 0 < (said - expected).norm() < 0.1 * expected.norm()


def test_norms_that_another_layer_needs_are_left():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.convolution(x)
            return self.norm(y) + y

    class Moody(nn.Sequential):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else x

    assert fold_norms(Shared().eval()) == 0
    assert fold_norms(Moody(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()) == 0


def test_random_weights_are_the_same_each_time():
    state = torch.random.get_rng_state()
    one, other = (FrozenTrunk("test_resnet", random_weights=True).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.random.get_rng_state(), state)
