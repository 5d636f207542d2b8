"""The evaluations of the paper on frozen features: recognition and retrieval, of clouds and of views."""

from collections.abc import Sequence

import numpy as np
from mmengine.config import Config

from pointmcd.datasets.prepared_set import PreparedSet
from pointmcd.evaluation.encoders import points_seen
from pointmcd.evaluation.features import Features, FeatureSet
from pointmcd.evaluation.linear_svm import linear_svm
from pointmcd.evaluation.retrieval import average_precision
from projects.cross_correspondence.cross_correspondence.features import extract, verification
from projects.cross_correspondence.cross_correspondence.model import CrossCorrespondence

TRAIN, TEST = "train", "test"


def describe(
    model: CrossCorrespondence, config: Config, num_views: int, source: str
) -> tuple[FeatureSet, FeatureSet]:
    """Return features of train and test: those of the clouds, and of ``num_views`` views of each shape.

    ``source`` says where the weights are from.
    """
    loader, points, views = config.train_dataloader, {}, {}
    num_points = points_seen(config)
    for split in (TRAIN, TEST):
        points[split], views[split] = extract(
            model, config.data_root, split, num_points, num_views, loader.batch_size, loader.num_workers
        )
    names = PreparedSet(config.data_root).class_names
    about = {"source": source, "data": config.data_root, "num_points": num_points}
    return (
        FeatureSet(points, names, {**about, "feature": "F_p of the cloud"}),
        FeatureSet(views, names, {**about, "feature": "F_img of each view"}),
    )


def measure(
    model: CrossCorrespondence, points: FeatureSet, views: FeatureSet, view_counts: Sequence[int], seed: int
) -> dict[str, float]:
    """Measure every figure on frozen features, in percent unless it is a distance.

    A linear SVM is fitted to train and asked about test; retrieval is within test. Several views of a shape
    are max pooled for recognition and averaged for retrieval.

    Args:
        model: The networks that made the features, in eval mode.
        points: Of the clouds.
        views: Of the views.
        view_counts: Numbers of views of a shape.
        seed: Of the draws of views and objects, and of the folds that choose the SVM's C.
    """
    found = {"3D recognition": _recognition(points, seed)}
    for count in view_counts:
        pooled = _pooled(views, count, "max", seed)
        found[f"2D recognition, {_views(count)}"] = _recognition(pooled, seed)
    found |= _retrieval("3D retrieval", points.split(TEST))
    for count in view_counts:
        pooled = _pooled(views, count, "mean", seed)
        found |= _retrieval(f"2D retrieval, {_views(count)}", pooled.split(TEST))
    return {**found, **verification(model, points.split(TEST), views.split(TEST), seed)}


def _views(count: int) -> str:
    return "1 view" if count == 1 else f"{count} views"


def _pooled(views: FeatureSet, count: int, pool: str, seed: int) -> FeatureSet:
    splits = {name: views.split(name).over_views(count, pool, seed) for name in (TRAIN, TEST)}
    return FeatureSet(splits, views.class_names, views.about)


def _recognition(features: FeatureSet, seed: int) -> float:
    train, test = features.split(TRAIN), features.split(TEST)
    predictions = linear_svm(train.values, train.labels, test.values, seed).predictions
    return 100 * float(np.mean(predictions == test.labels))


def _retrieval(name: str, features: Features) -> dict[str, float]:
    """Return MAP by cosine distance, as is standard and as the group's later code has it."""
    precision = average_precision(features.values, features.labels)
    return {
        name: 100 * float(np.nanmean(precision.without_self)),
        f"{name}, query counted": 100 * float(np.nanmean(precision.with_self)),
    }
