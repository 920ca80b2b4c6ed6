"""fastscale: which way of making a network bigger keeps it fast? (Dollar, Singh, Girshick, arXiv 2103.06877)."""
