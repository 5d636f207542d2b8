"""The pycuda backend, as the dispatcher loads it; ``ImportError`` says what it lacks."""

from pointmcd.ops.cuda import device

device.check()

from pointmcd.ops.cuda.device import describe  # noqa: E402, F401
