from pathlib import Path

import pytest

from medusa.__main__ import main

TO_MAKE_UP = ["--prefix", "SYNTHETIC_test3_", "--expect", "2"]


@pytest.fixture
def posteriors(tmp_path: Path) -> Path:
    path = tmp_path / "unlabelled.csv"
    path.write_text("FileName,EmoClass\nSYNTHETIC_test3_0002.wav,Fear\nSYNTHETIC_test3_0001.wav,Neutral\n")
    return path


def test_a_submission_is_written_and_checked(
    posteriors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "submission.csv"
    main(["submission", str(posteriors), "--out", str(out), *TO_MAKE_UP])
    assert out.read_text() == "FileName,EmoClass\nSYNTHETIC_test3_0001.wav,N\nSYNTHETIC_test3_0002.wav,F\n"
    written = capsys.readouterr().out
    assert written == f"{out}: 2 rows, as the challenge asks; F 1, N 1\n"
    main(["submission", "--check", str(out), *TO_MAKE_UP])
    assert capsys.readouterr().out == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["POSTERIORS", "--out", "OUT"], "0 of 3,200 rows are there, 'MSP-PODCAST_test3_0001.wav' is the first"),
        (["--check", "POSTERIORS"], "must be one of A, S, H, U, F, D, C, N"),
        ([], "give POSTERIORS.csv and --out FILE"),
        (["POSTERIORS"], "give POSTERIORS.csv and --out FILE"),
        (["--out", "OUT"], "give POSTERIORS.csv and --out FILE"),
        (["--out", "OUT", "--check", "OUT"], "give POSTERIORS.csv and --out FILE"),
        (["POSTERIORS", "--check", "OUT"], "give POSTERIORS.csv and --out FILE"),
        (["POSTERIORS", "--out", "OUT", "--expect", "0"], "--expect 0: must be at least 1"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    posteriors: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = posteriors.parent / "submission.csv"
    with pytest.raises(SystemExit) as exit_:
        main(
            [
                "submission",
                *(word.replace("POSTERIORS", str(posteriors)).replace("OUT", str(out)) for word in arguments),
            ]
        )
    assert exit_.value.code == 2
    stderr = capsys.readouterr().err
    assert message in stderr
    assert stderr.count("\n") == 1
    assert not out.exists()
