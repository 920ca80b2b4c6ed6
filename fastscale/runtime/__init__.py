"""The machine that a job runs on: devices, several of them, memory and signals."""
