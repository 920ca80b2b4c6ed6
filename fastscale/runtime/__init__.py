"""The machine that a job runs on: its devices, its memory, several processes, and signals."""
