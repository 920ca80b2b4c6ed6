"""Makes the `slurm` fixture available to every test in this folder."""

from cluster import slurm

__all__ = ["slurm"]
