"""Compute the features of one backbone over a corpus, or its transcripts.

python extract_features.py configs/features/whisper-asr.yaml   # transcripts.csv, for the text backbones
python extract_features.py configs/features/wavlm-large.yaml   # one feature store

With shard=1/4 it does every fourth shard only: four such processes, on several machines that share the folder too,
do together what one would.
"""

from __future__ import annotations

from medusa.config.arguments import parse_words
from medusa.config.load import has_section, load_config
from medusa.config.schema import ExtractConfig, TranscribeConfig
from medusa.errors import command
from medusa.features.parts import split_words


@command
def main() -> None:
    """Read the config, which asks for transcripts where it has a section `asr`; fill; say where the result is."""
    files, words = parse_words(__doc__)
    part, overrides = split_words(words)
    if has_section(TranscribeConfig, files[0], "asr"):
        to_transcribe = load_config(TranscribeConfig, files, overrides)
        from medusa.features.asr import transcribe  # after --help: loads torch and transformers

        print(transcribe(to_transcribe, part))
    else:
        to_extract = load_config(ExtractConfig, files, overrides)
        from medusa.features.extract import extract

        print(extract(to_extract, part))


if __name__ == "__main__":
    main()
