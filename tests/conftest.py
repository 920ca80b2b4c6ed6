"""Makes the `checkout` fixture available to every test."""

from checkout import checkout

__all__ = ["checkout"]
