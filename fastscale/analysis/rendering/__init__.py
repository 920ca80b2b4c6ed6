"""How tables, figures and pages look, in each format that they are written in."""
