"""A trained student in use: load it, give it a file or an array, get classes and probabilities."""

from pointmcd.apis.export import export_student
from pointmcd.apis.student import Prediction, Student, load_student

__all__ = ["Prediction", "Student", "export_student", "load_student"]
