"""Makes fixtures available to every test."""

from browser import browser
from checkout import checkout

__all__ = ["browser", "checkout"]
