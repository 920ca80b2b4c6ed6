"""The JSON schema of configurations, for editors. `python tests/schema.py` writes sweep.schema.json anew."""

import json
from importlib.resources import files
from pathlib import Path

from fastscale.sweep.schema import Configuration
from fastscale.validation.forms import JsonSchema

PATH = Path(str(files("fastscale.sweep").joinpath("sweep.schema.json")))


def text() -> str:
    """What the file must hold."""
    schema = Configuration.model_json_schema(schema_generator=JsonSchema)
    head = {"$schema": JsonSchema.schema_dialect, "title": "A sweep of fastscale"}
    return json.dumps(head | schema, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
