"""Sweeps: configuration, networks, searches, and the artefacts with the measurements that they need. No torch."""
