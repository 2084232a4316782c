"""Bundles among what `verify` looks at; everything else: tests/faults/test_verify.py."""

from __future__ import annotations

import shutil
from pathlib import Path

from medusa.app.verify import verify


def test_a_bundle_is_found_in_its_folder_and_its_damage_is_named(bundle: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(bundle, tmp_path / "of last week" / "bundle"))
    files = [path for path in own.rglob("*") if path.is_file() and path.name not in ("bundle.json", "README.md")]
    assert list(verify([tmp_path])) == [(own, f"bundle of {len(files)} files", None)]
    weights = own / "soup/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (found,) = verify([tmp_path])
    assert found.path == own
    assert found.problem == f"{weights}: not the file that the bundle was made with; copy the bundle again"
