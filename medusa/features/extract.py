"""One backbone over one corpus → one feature store, resumable shard by shard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from medusa.config.schema import ExtractConfig
from medusa.corpora.labels import read_labels, utterance_id
from medusa.device import describe_device, prepare
from medusa.features.backbones import FeatureBackbone, load_backbone
from medusa.features.fill import fill, raise_failures, tell_left, write_failures
from medusa.features.parts import WHOLE, Part, hold
from medusa.features.pretrained import library_versions, weights_checksum
from medusa.features.sources import Recordings, Source, Transcripts
from medusa.features.store import StoreWriter
from medusa.provenance import write_provenance


def extract(config: ExtractConfig, part: Part = WHOLE) -> Path:
    """Compute the features of every utterance in labels.csv and write them to `<features>/<name>`.

    Finished shards are kept; of shards that miss clips, those clips are tried again. Parts may run side by side, on
    several hosts too; when all have ended the store is what one run would have written.

    Args:
        config: What to compute.
        part: Which of the shards.

    Returns:
        The store's directory.

    Raises:
        UserError: an input is missing, or the directory holds another store.
        PartlyDone: some recordings could not be read; everything else is in the store, and
            `failures.csv` there names them.
    """
    config, device = prepare(config)
    files = {utterance_id(name): name for name in read_labels(config.paths.labels).table["FileName"]}
    source = _source(config, files)
    path = config.paths.features / config.name
    report = path / "failures.csv"
    with hold(path, part, "extracting features") as alone:
        backbone = load_backbone(config, device)
        with alone():
            store = StoreWriter(path, _identity(config, backbone), list(files), part)
        failures = fill(store, source, backbone.features, config.batch_size, config.name)
        with alone():
            write_failures(report, files, store.own_utterances, failures)
            inputs = [config.paths.labels, *([config.paths.transcripts] if config.backbone.kind == "text" else [])]
            write_provenance(path, config.model_dump(mode="json"), inputs, describe_device(device))
            tell_left(store)
    if backbone.truncated:
        print(
            f"warning: {backbone.truncated} texts were longer than {config.backbone.model} can take and were cut",
            file=sys.stderr,
        )
    raise_failures(report, store.own_utterances, failures)
    return path


def _source(config: ExtractConfig, files: dict[str, str]) -> Source:
    if config.backbone.kind == "text":
        return Transcripts(config.paths.transcripts)
    return Recordings(config.paths.audio, files, config.resampler)


def _identity(config: ExtractConfig, backbone: FeatureBackbone) -> dict[str, Any]:
    """What makes the features what they are: a store in which any of this differs is another store."""
    return {
        "name": config.name,
        "kind": config.backbone.kind,
        "backbone": config.backbone.model,
        "revision": backbone.commit,
        "weights_sha256": weights_checksum(config.backbone.model),
        "layers": config.layers.take if config.backbone.kind != "logmel" else None,
        "combine": config.layers.combine if config.backbone.kind != "logmel" else None,
        "time_stride": config.time_stride,
        "trim": config.trim if config.backbone.kind == "whisper" else None,
        "resampler": config.resampler if config.backbone.kind != "text" else None,
        "precision": config.compute.precision if config.backbone.kind != "logmel" else None,
        "dim": backbone.dim,
        "frame_rate": backbone.frame_rate,
        "shard_size": config.shard_size,
        "libraries": library_versions(),
    }
