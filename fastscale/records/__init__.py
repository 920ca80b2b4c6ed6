"""Records of measurements: JSON files that also say which code made them. No torch."""
