from pathlib import Path

import pytest

from medusa.__main__ import main


def test_the_rate_and_its_parts_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references, transcripts = tmp_path / "references.csv", tmp_path / "transcripts.csv"
    references.write_text("FileName,Transcript\na.wav,one two three\nb.wav,four five\n")
    transcripts.write_text('FileName,Transcript\nb.wav,"Four, five six"\na.wav,One too.\n')
    main(["wer", "--references", str(references), "--transcripts", str(transcripts)])
    assert capsys.readouterr().out == (
        "WER 60.00%: 5 words, 1 substituted, 1 deleted, 1 inserted (lower case, no punctuation)\n"
    )


def test_a_missing_row_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references, transcripts = tmp_path / "references.csv", tmp_path / "transcripts.csv"
    references.write_text("FileName,Transcript\na.wav,one\nb.wav,two\n")
    transcripts.write_text("FileName,Transcript\na.wav,one\n")
    with pytest.raises(SystemExit) as exit_:
        main(["wer", "--references", str(references), "--transcripts", str(transcripts)])
    assert exit_.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith(f"error: {transcripts}: no row for 'b'")
    assert stderr.count("\n") == 1
