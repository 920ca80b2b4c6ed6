"""The fixtures of all tests in this folder."""

from cluster import accounted, slurm
from project import accounted_project, project

__all__ = ["accounted", "accounted_project", "project", "slurm"]
