"""The command line: the only package that imports from both wings, planning (without torch) and torch."""
