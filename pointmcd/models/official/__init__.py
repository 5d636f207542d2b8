"""State dicts of PointMCD's official release (2025-11-18) in the names of this package.

Only names and layouts are translated. The official networks hold point-wise weights as 1x1 convolutions, and
PointNet's layers have biases that the batch norm after them cancels: such a bias moves into the running mean.
"""

from torch import Tensor

from pointmcd.models.official.students import LAST_FIRST, STUDENTS
from pointmcd.models.official.teachers import SETTINGS, TEACHERS
from pointmcd.models.teachers.base import encode_settings

State = dict[str, Tensor]

NETWORKS: dict[str, dict[str, str]] = STUDENTS | TEACHERS
"""For each official network the names of its modules and of ours."""

_CONVOLUTIONS = (
    "trunk.",
    "decoder.",
)  # modules of ours that keep their kernels; elsewhere rows are multiplied


def convert(state: State) -> tuple[str, State]:
    """Translate an official state dict.

    Args:
        state: Of ``PointNet_Cls_Distiller``, ``DGCNN_Cls_Distiller``, ``PointNet_Seg_Distiller``,
            ``DGCNN_Seg_Distiller``, ``Teacher_Cls``, ``CNN_Backbone_Pretrainer`` or ``Teacher_Seg``; keys may
            begin with ``module.``, as ``DataParallel`` saves them.

    Returns:
        The network (one of ``NETWORKS``) and a state dict that loads strictly: a student's into ``PointMCD``
        with a ``ClassificationHead`` or a ``PartSegmentationHead`` and one ``ViewDistillationHead``, a
        teacher's into ``MultiViewTeacher``, ``AutoencoderTeacher`` or ``PartSegmentationTeacher``, with the
        networks of the official configs.

    Raises:
        ValueError: The keys are not those of one of ``NETWORKS``.
    """
    state = {key.removeprefix("module."): value for key, value in state.items()}
    modules = {key.rpartition(".")[0] for key in state}
    network = next((name for name, names in NETWORKS.items() if modules == names.keys()), None)
    if network is None:
        raise ValueError(
            f"not the weights of an official {', '.join(NETWORKS)}; the first keys are {list(state)[:4]}"
        )
    names = NETWORKS[network]
    converted = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        name = f"{names[module]}.{tensor}"
        converted[name] = value if name.startswith(_CONVOLUTIONS) or value.ndim < 2 else value.flatten(1)
    for name in [name for name in converted if name.endswith(".linear.bias")]:
        mean = name.replace("linear.bias", "norm.running_mean")
        converted[mean] = converted[mean] - converted.pop(name)
    if network in LAST_FIRST:
        name, columns = LAST_FIRST[network]
        converted[name] = converted[name].roll(columns, 1)
    if network in SETTINGS:
        converted["saved_settings"] = encode_settings(SETTINGS[network])
    return network, converted
