"""Snakemake jobs to Slurm through submitit."""
