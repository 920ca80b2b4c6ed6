"""The command line. It alone knows both wings: planning, which never imports torch, and torch's."""
