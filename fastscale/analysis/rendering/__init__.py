"""The look of tables, figures and pages, in each format that they are written in."""
