"""A trained student in use: load it, give it a file or an array, get its class, its parts or its feature."""

from pointmcd.apis.export import export_student
from pointmcd.apis.onnx import export_onnx
from pointmcd.apis.results import Prediction, Segmentation
from pointmcd.apis.student import Student, load_student

__all__ = ["Prediction", "Segmentation", "Student", "export_onnx", "export_student", "load_student"]
