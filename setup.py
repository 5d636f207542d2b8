"""Build the C++ kernels of ``pointmcd.ops`` and ``pointmcd.geometry``, once for each instruction set, and
pack ``configs/`` as ``pointmcd/configs``; everything else is in pyproject.toml.

The kernels are optional: where they do not compile, the installation goes on without them and the plain
forms run.
"""

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

OPS, GEOMETRY = "pointmcd/ops/cpu", "pointmcd/geometry/cpp"
FLAGS = ["-std=c++17", "-g0", "-fopenmp", "-fvisibility=hidden"]
# What these kernels need of -O3, in less time to compile.
FLAGS += ["-O2", "-fvect-cost-model=dynamic", "-fpeel-loops"]
FLAGS += ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
INSTRUCTION_SETS = {"default": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    INSTRUCTION_SETS["avx2"] = ["-mavx2", "-mfma"]
    INSTRUCTION_SETS["avx512"] = [
        *("-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
        "-mprefer-vector-width=512",
    ]


class BuildKernels(build_ext):
    """Gives each instruction set its own folder of objects, as the sources are the same; uses all cores."""

    def build_extension(self, ext: Extension) -> None:
        def compiled(source: str) -> str:
            (target,) = self.compiler.compile(
                [source],
                output_dir=str(Path(self.build_temp) / ext.name),
                extra_postargs=ext.extra_compile_args,
                depends=ext.depends,
            )
            return target

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compiled, ext.sources))
        self.compiler.link_shared_object(
            objects,
            self.get_ext_fullpath(ext.name),
            extra_postargs=ext.extra_link_args,
            target_lang="c++",
        )


CONFIGS = [Path("configs"), *sorted(path for path in Path("configs").rglob("*") if path.is_dir())]

setup(
    packages=[
        *find_packages(include=["pointmcd*"]),
        *(".".join(("pointmcd", *folder.parts)) for folder in CONFIGS if folder.name != "__pycache__"),
    ],
    package_dir={"pointmcd.configs": "configs"},
    cmdclass={"build_ext": BuildKernels},
    ext_modules=[
        Extension(
            f"{folder.replace('/', '.')}.kernels_{name}",
            sorted(str(path) for path in Path(folder).glob("*.cpp")),
            depends=sorted(str(path) for path in Path(folder).glob("*.h")),
            extra_compile_args=FLAGS + flags,
            extra_link_args=["-fopenmp"],
            optional=True,
        )
        for folder in (OPS, GEOMETRY)
        for name, flags in INSTRUCTION_SETS.items()
        if folder == OPS or name != "avx512"  # which the rasteriser does not gain from
    ],
)
