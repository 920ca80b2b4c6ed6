"""The epoch that times are given for: the paper's, or that of one's own images."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_up import minutes_of, write_records

from fastscale.analysis import aggregate
from fastscale.analysis.results.epoch import epoch_of
from fastscale.networks.complexity import count
from fastscale.records.records import write_record
from fastscale.sweep.sweep import Sweep

ASKED = {"sweep": "mine", "trials": 1, "grid": {"bases": ["EN-tiny"], "strategies": ["w", "dWr"], "scales": [4]}}
FASHION = {"kind": "fashion-mnist", "classes": 10}


def sweep_of(data: dict[str, Any], **more: Any) -> Sweep:
    return Sweep.from_config({**ASKED, "data": data, **more})


def test_fashion_mnist_stands_for_imagenet_unless_a_number_is_given() -> None:
    assert epoch_of(sweep_of(FASHION)).words == "time for 1.28 M images"
    assert epoch_of(sweep_of(FASHION, profile={"images": 1000})).words == "time for 1,000 images"


def test_an_epoch_of_ones_own_images_has_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As packed; before that as trained on, as limited, or as many as the folder has; ImageNet's if none are seen."""
    monkeypatch.chdir(tmp_path)
    for name in [f"{split}/{kind}/{i}.png" for split in ("train", "val") for kind in "ab" for i in range(3)]:
        Path("images", name).parent.mkdir(parents=True, exist_ok=True)
        Path("images", name).touch()
    data = {"kind": "imagefolder", "path": "images", "classes": 2}
    sweep = sweep_of(data)
    assert epoch_of(sweep).words == "time per epoch of 6 images"
    assert epoch_of(sweep_of({**data, "train_images": 4})).words == "time per epoch of 4 images"
    assert epoch_of(sweep_of(data, train=False)).words == "time for 1.28 M images"
    assert epoch_of(sweep_of(data, profile={"images": 1_300_000})).words == "time for 1.3 M images"
    shutil.rmtree("images")
    assert epoch_of(sweep).words == "time for 1.28 M images"
    write_records(sweep)
    assert epoch_of(sweep).words == "time per epoch of 2,500 images"
    packed = {"kind": "data", "images": {"train": 12_000, "val": 9}, "data_hash": "0", "files": {}}
    write_record(sweep.data_folder / "data.json", packed)
    assert epoch_of(sweep).words == "time per epoch of 12,000 images"

    # Records are for ImageNet's number of images; what is shown is for 12,000.
    for artefact in ("networks", "timing", "readme"):
        (page, *_) = [path for path in aggregate(sweep, artefact) if path.suffix == ".md"]
        assert "of 12,000 images" in page.read_text(), artefact
    minutes = {point.network.id: minutes_of(count(point.network)) * 12_000 / 1_281_167 for point in sweep.points}
    for artefact in ("networks", "timing"):
        with sweep.artefacts[artefact][0].open() as table:
            rows = list(csv.DictReader(table))
        assert len(rows) == 3
        for row in rows:
            assert float(row["epoch_seconds"]) == pytest.approx(60 * minutes[row["network"]], rel=1e-5)
            if artefact == "timing":
                assert float(row["epoch_seconds_on_devices"]) == pytest.approx(
                    60 / 8 * minutes[row["network"]], rel=1e-5
                )
