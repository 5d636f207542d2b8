"""From a complete config to MMEngine's Runner."""

from mmengine.config import Config
from mmengine.runner import Runner

from pointmcd.engine.dist import distribute
from pointmcd.models.teachers.trunks import mend_torchvision


def build_runner(config: Config) -> Runner:
    """The Runner of a config that ``load_config`` completed, in this process of those that torchrun started.

    Raises:
        ValueError: A batch size does not divide by the number of processes, or a component refuses an
            argument.
    """
    mend_torchvision()  # the Runner imports it
    return Runner.from_cfg(distribute(config))
