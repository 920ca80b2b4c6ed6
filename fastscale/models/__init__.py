"""Networks as torch modules: building, placing and optimizing them."""
