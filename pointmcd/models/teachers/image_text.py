"""Image-text models, frozen: CLIP, SigLIP and the like, by open_clip."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.checkpoint import load_weights, read_state_dict
from pointmcd.compat import mend_torchvision
from pointmcd.datasets.text_vectors import TextVectors
from pointmcd.files import read_json
from pointmcd.models.teachers.frozen import state_sha256
from pointmcd.models.teachers.normalization import seen_by
from pointmcd.models.teachers.trunks import no_waiting_for_the_hub

TEMPLATES = (
    "{}",
    "a {}.",
    "a picture of a {}.",
    "a photo of a {} on a white background.",
    "a grey rendering of a {}.",
    "a 3D model of a {}.",
    "a mesh of a {} without texture.",
    "a point cloud of a {}.",
)
"""What is said of a name unless something else is given; written down once, and chosen on no data."""
RANDOM, HUB = "random", "hf-hub:"
CONFIG, WEIGHTS = "open_clip_config.json", ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Files of a model on the Hub, in a folder."""
TEXTS_AT_A_TIME = 256


class ImageTextModel(nn.Module):
    """An image encoder and a text encoder with one space, never trained here.

    Args:
        model: A name of open_clip's (``ViT-B-32-quickgelu``, ``ViT-B-16-SigLIP2`` ...), a repository of the
            Hub (``hf-hub:timm/vit_base_patch32_clip_224.openai``), or a folder that holds what it does:
            ``hf download timm/vit_base_patch32_clip_224.openai --local-dir FOLDER``.
        weights: A ``.safetensors`` or ``.pth`` file with the weights as open_clip names them, a tag of
            open_clip's (``openai``, ``laion2b_s34b_b79k``: a download), or ``random`` for a control, the same
            each time. None takes those of the repository or the folder.

    Attributes:
        settings: What image embeddings depend on, plain values.
        out_channels: E, width of the embeddings.

    Raises:
        ValueError: The extra ``text`` is not installed, there is no such model, or no weights that fit.
    """

    network: Any  # of open_clip's classes

    def __init__(self, model: str, weights: str | None = None) -> None:
        super().__init__()
        open_clip = import_open_clip()
        folder = Path(model) if Path(model).is_dir() else None
        if folder is not None:
            _check_folder(folder)
            if weights is None:
                weights = next((str(folder / one) for one in WEIGHTS if (folder / one).is_file()), None)
        elif model.startswith(HUB):
            weights = weights or HUB
        elif model not in (known := open_clip.list_models()):
            raise ValueError(
                f"open_clip {open_clip.__version__} has no model {model!r} among its {len(known)}, and there "
                "is no such folder; python -c 'import open_clip; print(open_clip.list_models())' lists them"
            )
        if weights is None:
            raise ValueError(
                f"{model} needs weights: give a file, {RANDOM} for none, or one of open_clip's tags "
                f"(a download): {', '.join(open_clip.list_pretrained_tags_by_model(model)) or 'it has none'}"
            )
        source = model if folder is None else f"local-dir:{folder}"
        with _quiet():
            self.network, self._tokenize = _build(open_clip, source, weights)
        known_of_images = self.network.visual.preprocess_cfg
        size = known_of_images["size"]
        self.name = model if folder is None else folder.resolve().name
        self.settings: dict[str, Any] = {
            "trunk": self.name,
            "input_size": int(size if isinstance(size, int) else size[-1]),
            "mean": [float(value) for value in known_of_images["mean"]],
            "std": [float(value) for value in known_of_images["std"]],
            "random_weights": weights == RANDOM,
            "space": "image and text",
        }
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "ImageTextModel":
        """Keep the network in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, views: Tensor) -> Tensor:
        """Return unit embeddings (B, v, E) of views (B, v, 3, H, H), uint8 or floats in 0..1."""
        names = ("mean", "std", "input_size")
        images = seen_by(self.network, views.flatten(0, 1), *(self.settings[name] for name in names))
        return F.normalize(self.network.encode_image(images), dim=-1).unflatten(0, views.shape[:2])

    @torch.no_grad()
    def embed_names(self, names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> TextVectors:
        """Say each name in every template; its vector is the mean of their unit embeddings, of unit length.

        Args:
            names: K different ones; ``_`` is said as a space.
            templates: Texts in which ``{}`` stands for the name.

        Raises:
            ValueError: A template has no single ``{}``, there are none, or a name is empty or said as another
                is.
        """
        if not templates or not all(template.count("{}") == 1 for template in templates):
            raise ValueError(
                f"a template needs one {{}} in place of the name; these have none or several: {templates}"
            )
        spoken = [name.replace("_", " ").strip() for name in names]
        if not names or not all(spoken) or len(set(spoken)) < len(names):
            raise ValueError("names must be at least one text, none of them empty or said as another is")
        said = [one.replace("{}", name) for name in spoken for one in templates]
        device = next(self.network.parameters()).device
        parts = [said[start : start + TEXTS_AT_A_TIME] for start in range(0, len(said), TEXTS_AT_A_TIME)]
        rows = [self.network.encode_text(self._tokenize(part).to(device)).float().cpu() for part in parts]
        each = F.normalize(torch.cat(rows), dim=-1).unflatten(0, (len(names), len(templates)))
        vectors: np.ndarray = F.normalize(each.mean(1), dim=-1).numpy()
        return TextVectors(list(names), vectors, list(templates), self.name, self.weights_sha256())

    def weights_sha256(self) -> str:
        """Return the SHA-256 over the weights of both encoders, in hexadecimal."""
        return state_sha256(self.network)


def import_open_clip() -> ModuleType:
    """Import open_clip, after ``mend_torchvision``.

    Raises:
        ValueError: It is not installed.
    """
    mend_torchvision()
    try:
        import open_clip
    except ModuleNotFoundError as error:
        raise ValueError(f"image-text models need {error.name}: pip install 'pointmcd[text]'") from error
    return open_clip


def _build(open_clip: ModuleType, source: str, weights: str) -> tuple[nn.Module, Any]:
    """Return the network with its weights, and its tokenizer; a file of weights is read as data alone."""
    fetched = weights != RANDOM and not Path(weights).is_file()
    if fetched and weights not in (HUB, *open_clip.list_pretrained_tags_by_model(source)):
        raise ValueError(f"{weights} is neither a file of weights nor a tag of {source}")
    try:
        with no_waiting_for_the_hub(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = open_clip.create_model(
                source,
                pretrained=weights if fetched and weights != HUB else None,
                load_weights=fetched,
                require_pretrained=fetched,
                pretrained_text=False,
            )
            tokenizer = open_clip.get_tokenizer(source)
    except Exception as error:  # of whatever library makes the connection, or builds of the settings
        lacks = isinstance(error, ModuleNotFoundError)
        remedy = (
            f"pip install {error.name}"  # type: ignore[attr-defined]  # transformers, of SigLIP's tokenizers
            if lacks
            else "without a connection give a folder (hf download REPOSITORY --local-dir FOLDER)"
        )
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{source} cannot be built ({reason}); {remedy}") from error
    if weights != RANDOM and not fetched:
        state = read_state_dict(weights)
        if isinstance(network, open_clip.CustomTextCLIP):
            state = open_clip.model.convert_to_custom_text_state_dict(state)
        load_weights(network, state, f"the weights of {weights} do not fit {source}")
    return network, tokenizer


def _check_folder(folder: Path) -> None:
    """Refuse settings that name networks which would be fetched, or built of a name alone."""
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(
            f"{folder} holds no {CONFIG}, so it is no image-text model; give a folder of the Hub, or a "
            "name of open_clip's, such as ViT-B-32-quickgelu"
        )
    settings = read_json(folder / CONFIG)
    try:
        text, vision = (dict(settings["model_cfg"][name]) for name in ("text_cfg", "vision_cfg"))
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{folder / CONFIG} lacks a model_cfg with text_cfg and vision_cfg") from None
    if "hf_model_name" in text or ":" in str(vision.get("timm_model_name")):
        raise ValueError(f"{folder / CONFIG} names a network outside the folder, which would be downloaded")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what open_clip says of every step, and of random weights, which are asked for by name."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
