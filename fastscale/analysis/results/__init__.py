"""Records as rows: what was measured, what the paper prints, and fits through both."""
