"""Networks as torch modules: how they are built, placed on a device, and optimized."""
