import csv
import hashlib
import json
import os
import subprocess
import sys
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medusa.__main__ import main
from medusa.audio import pitch, resample
from medusa.corpora import espeak
from medusa.corpora.espeak import Request, speak
from medusa.corpora.labels import ATTRIBUTES, Labels, read_labels
from medusa.corpora.msp_layout import EMOTIONS
from medusa.corpora.prosody import HIGHEST, LOWEST, NAMES, TYPICAL
from medusa.corpora.sentences import SENTENCES
from medusa.corpora.synthetic import Clip, plan, prepare
from medusa.errors import UserError
from medusa.evaluation.datacard import read_about
from medusa.metrics import macro_f1

SEEDS = range(4)
LETTERS = dict(zip("ASHUFDCNXO", [*EMOTIONS, "X", "O"], strict=True))


def labelled(clips: list[Clip]) -> list[Clip]:
    return [clip for clip in clips if clip.utterance.partition]


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest corpus, spoken."""
    out = tmp_path_factory.mktemp("synthetic")
    main(["prepare", "synthetic", "--out", str(out), "--clips", "56", "--seed", "3"])
    return out


@pytest.fixture(scope="module")
def labels(corpus: Path) -> Labels:
    return read_labels(corpus / "labels.csv")


@pytest.fixture(scope="module")
def many() -> list[Clip]:
    """Labelled clips, 2000, for shares."""
    return labelled(plan(2008, 1))


# --- what is drawn ----------------------------------------------------------------------------------


def test_a_seed_is_a_corpus() -> None:
    assert plan(120, 5) == plan(120, 5)
    assert plan(120, 5) != plan(120, 6)


@pytest.mark.parametrize("clips", [56, 57, 300])
def test_as_many_clips_as_asked_for_a_fifth_of_the_labelled_ones_each_for_dev_and_test(clips: int) -> None:
    planned = plan(clips, 1)
    assert len({clip.utterance.file_name for clip in planned}) == len(planned) == clips
    counts = Counter(clip.utterance.partition for clip in planned)
    assert counts[""] == 8
    assert counts["dev"] == counts["test"] == round((clips - 8) / 5)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_class_has_a_consensus_in_every_partition_and_none_is_eight_times_rarer(seed: int) -> None:
    planned = plan(300, seed)
    for partition in ("train", "dev", "test"):
        classes = Counter(clip.utterance.emo_class for clip in planned if clip.utterance.partition == partition)
        counts = [classes[emotion] for emotion in EMOTIONS]
        assert min(counts) > 0
        assert max(counts) <= 8 * min(counts)


def test_classes_are_as_unequal_as_msp_podcast_development_down_to_a_floor(many: list[Clip]) -> None:
    felt = Counter(clip.utterance.emotion for clip in many)
    total = 7423 + 6344 + 5836 + 2341 + 1459 + 3 * 7423 / 6
    expected: dict[str, float] = {"Neutral": 7423, "Happy": 6344, "Angry": 5836, "Sad": 2341, "Contempt": 1459}
    expected |= dict.fromkeys(("Surprise", "Fear", "Disgust"), 7423 / 6)
    for emotion, count in expected.items():
        assert felt[emotion] / 2000 == pytest.approx(count / total, rel=0.06)


@pytest.mark.parametrize("seed", SEEDS)
def test_speakers_and_sentences_stay_in_one_partition(seed: int) -> None:
    planned = plan(300, seed)
    for attribute in ("speaker", "sentences"):
        seen: dict[str, set[object]] = {"train": set(), "dev": set(), "test": set()}
        for clip in labelled(planned):
            value = getattr(clip, attribute)
            seen[clip.utterance.partition] |= set(value) if attribute == "sentences" else {value}
        assert all(seen.values())
        assert len(seen["train"] | seen["dev"] | seen["test"]) == sum(len(part) for part in seen.values())
    for partition in ("train", "dev", "test"):
        speakers = {clip.speaker for clip in planned if clip.utterance.partition == partition}
        assert Counter(speaker.gender for speaker in speakers) == dict.fromkeys(("Male", "Female"), len(speakers) // 2)
    test3 = {clip.speaker.voice for clip in planned if not clip.utterance.partition}
    assert not test3 & {clip.speaker.voice for clip in labelled(planned)}


def test_words_and_voice_disagree_in_the_stated_share_each_as_often(many: list[Clip]) -> None:
    assert all(clip.utterance.emotion in (clip.words, clip.voice) for clip in many)
    words_mislead = np.mean([clip.words != clip.utterance.emotion for clip in many])
    voice_misleads = np.mean([clip.voice != clip.utterance.emotion for clip in many])
    four_deviations = 4 * np.sqrt(0.15 * 0.85 / len(many))
    assert words_mislead == pytest.approx(0.15, abs=four_deviations)
    assert voice_misleads == pytest.approx(0.15, abs=four_deviations)
    neutral = [clip.words == "Neutral" for clip in many if clip.words != clip.utterance.emotion != "Neutral"]
    assert np.mean(neutral) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(neutral)))
    for clip in many:
        assert set(clip.sentences) <= set(SENTENCES[clip.words])


def test_neither_modality_alone_decides(many: list[Clip]) -> None:
    """Even who hears the right emotion of words or of voice every time, but not which misleads."""
    scored = [clip for clip in many if clip.utterance.emo_class in EMOTIONS]
    truth = np.array([EMOTIONS.index(clip.utterance.emo_class) for clip in scored])
    words, voice, felt = (
        macro_f1(truth, np.array([EMOTIONS.index(emotion) for emotion in heard]), len(EMOTIONS))
        for heard in (
            [clip.words for clip in scored],
            [clip.voice for clip in scored],
            [clip.utterance.emotion for clip in scored],
        )
    )
    assert words == pytest.approx(voice, abs=0.06)
    assert max(words, voice) + 0.1 < felt < 0.97


def test_annotators_follow_what_was_felt_confuse_neighbours_and_seldom_follow_what_misleads(
    many: list[Clip],
) -> None:
    votes = {clip: [vote.primary for vote in clip.utterance.votes] for clip in many}
    assert {len(said) for said in votes.values()} == {5, 6, 7, 8, 9}

    def share(chosen: str, **of_clip: str) -> float:
        """Of the votes for `chosen` in clips with these emotions; the stated shares hold for clips that are clear."""
        wanted = (of_clip["felt"], of_clip["words"], of_clip["voice"])
        said = [v for c in many for v in votes[c] if (c.utterance.emotion, c.words, c.voice) == wanted]
        return float(np.mean([vote == chosen for vote in said]))

    clear, unclear = 0.9, 0.1
    kept = 0.5 / 0.95  # of the votes for emotions, where the clip is unclear and half of the votes are Other
    agreeing = {"felt": "Happy", "words": "Happy", "voice": "Happy"}
    assert share("Happy", **agreeing) == pytest.approx(0.62 * (clear + unclear * kept), abs=0.03)
    assert share("Surprise", **agreeing) == pytest.approx(0.14 * (clear + unclear * kept), abs=0.03)
    assert share("Disgust", **agreeing) == pytest.approx(0.01, abs=0.01)
    sarcasm = {"felt": "Angry", "words": "Neutral", "voice": "Angry"}
    expected = (0.85 * 0.01 + 0.15 * 0.62) * (clear + unclear * kept)
    assert share("Neutral", **sarcasm) == pytest.approx(expected, abs=0.06)
    others = np.mean([vote.startswith("Other-") for said in votes.values() for vote in said])
    assert others == pytest.approx(0.05 * clear + 0.5 * unclear, abs=0.01)


def test_attributes_lie_around_the_stated_means(many: list[Clip]) -> None:
    clips = [clip for clip in many if clip.words == clip.voice]
    for emotion, mean in {"Angry": (5.6, 2.3, 5.3), "Sad": (2.7, 2.5, 3.0), "Happy": (5.0, 5.7, 4.8)}.items():
        votes = [vote for clip in clips if clip.utterance.emotion == emotion for vote in clip.utterance.votes]
        np.testing.assert_allclose(np.mean([vote.attributes for vote in votes], axis=0), mean, atol=0.25)
        assert {value for vote in votes for value in vote.attributes} <= set(range(1, 8))


def test_what_is_asked_of_the_voices_stays_where_they_are_understood() -> None:
    for clip in plan(300, 1):
        for name in NAMES:
            value = getattr(clip.prosody, name)
            assert isinstance(value, int)
            assert getattr(LOWEST, name) <= value <= getattr(HIGHEST, name)
    assert (LOWEST.rate, HIGHEST.rate) == (108, 168)


def test_sentences_are_enough_and_each_stands_once() -> None:
    assert tuple(SENTENCES) == EMOTIONS
    assert min(len(sentences) for sentences in SENTENCES.values()) >= 20
    everything = [sentence.casefold() for sentences in SENTENCES.values() for sentence in sentences]
    assert len(everything) == len(set(everything))
    assert all(sentence.isascii() and sentence[0].isupper() for part in SENTENCES.values() for sentence in part)
    assert all(sentence.endswith((".", "!", "?")) for part in SENTENCES.values() for sentence in part)


# --- what is written --------------------------------------------------------------------------------


def test_the_same_seed_writes_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "Audios").mkdir()
    first = next((corpus / "Audios").iterdir()).name
    (tmp_path / "Audios" / first).write_bytes(b"of another seed")
    main(["prepare", "synthetic", "--out", str(tmp_path), "--clips", "56", "--seed", "3"])
    assert digests(tmp_path) == digests(corpus)


def test_it_says_that_it_is_synthetic(corpus: Path) -> None:
    assert read_about(corpus / "labels.csv").startswith("The corpus is synthetic: ")


def test_recordings_are_16_khz_mono_16_bit_and_none_clips(corpus: Path, labels: Labels) -> None:
    assert sorted(path.name for path in (corpus / "Audios").iterdir()) == sorted(labels.table["FileName"])
    for name in labels.table["FileName"]:
        with wave.open(str(corpus / "Audios" / name)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        assert 1 < len(samples) / 16000 < 15
        assert 1000 < np.abs(samples.astype(int)).max() < 32700


def test_votes_reproduce_labels_csv(corpus: Path, labels: Labels) -> None:
    detailed = json.loads((corpus / "Labels" / "labels_detailed.json").read_text(encoding="utf-8"))
    rows = labels.table[labels.table["Partition"] != ""]
    assert set(detailed) == set(rows["FileName"])
    for _, row in rows.iterrows():
        votes = list(detailed[row["FileName"]].values())
        primary = Counter(vote["EmoClass_Major"].split("-")[0] for vote in votes)
        kept = sum(primary[emotion] for emotion in EMOTIONS)
        assert kept > 0
        assert sum(row[emotion] for emotion in EMOTIONS) == pytest.approx(1, abs=1e-12)
        for emotion in EMOTIONS:
            assert row[emotion] * kept == pytest.approx(primary[emotion], abs=1e-9)
        best = [choice for choice, count in primary.items() if count == max(primary.values())]
        assert row["EmoClass"] == ("X" if len(best) > 1 else {"Other": "O"}.get(best[0], best[0]))
        for name in ATTRIBUTES:
            assert row[name] == pytest.approx(np.mean([vote[name] for vote in votes]), abs=1e-12)
    assert {"X", "O"} <= set(rows["EmoClass"])


def test_msp_podcasts_files_agree_with_labels_csv(corpus: Path, labels: Labels) -> None:
    with (corpus / "Labels" / "labels_consensus.csv").open(encoding="utf-8", newline="") as file:
        consensus = {row["FileName"]: row for row in csv.DictReader(file)}
    partitions = dict(line.split("; ")[::-1] for line in (corpus / "Partitions.txt").read_text().splitlines())
    speakers = dict(line.split("; ") for line in (corpus / "Speaker_ids.txt").read_text().splitlines())
    assert set(partitions) == set(labels.table["FileName"])
    release = {("train", "Train"), ("dev", "Train"), ("test", "Development"), ("", "Test3")}
    for _, row in labels.table.iterrows():
        name = row["FileName"]
        assert partitions[name] == row["Split_Set"]
        assert (row["Partition"], partitions[name]) in release
        assert speakers[name] == (row["SpkrID"] or "Unknown")
        if row["Partition"]:
            found = consensus.pop(name)
            assert LETTERS[found["EmoClass"]] == row["EmoClass"]
            assert (found["SpkrID"], found["Gender"]) == (row["SpkrID"], row["Gender"])
            assert speakers[f"Speaker_{row['SpkrID']}"] == row["Gender"]
            assert [float(found[key]) for key in ATTRIBUTES] == [row[key] for key in ATTRIBUTES]
    assert not consensus


def test_test3_is_audio_only(labels: Labels) -> None:
    rows = labels.partition("unlabelled").table
    assert list(rows["FileName"]) == [f"SYNTHETIC_test3_{number:04d}.wav" for number in range(1, 9)]
    assert set(rows["EmoClass"]) == set(rows["SpkrID"]) == {""}
    assert np.isnan(rows[list(EMOTIONS)].to_numpy()).all()


def test_transcripts_say_what_was_drawn(corpus: Path, labels: Labels) -> None:
    transcripts = pd.read_csv(corpus / "reference_transcripts.csv").set_index("FileName")["Transcript"]
    mechanism = pd.read_csv(corpus / "mechanism.csv").set_index("FileName")
    assert set(transcripts.index) == set(mechanism.index) == set(labels.table["FileName"])
    for name, emotion in mechanism["Words"].items():
        spoken = transcripts.to_dict()[name]
        said = [sentence for sentence in SENTENCES[emotion] if sentence in spoken]
        assert spoken in (" ".join(said), " ".join(said[::-1]))


# --- how it sounds ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """One sentence in four voices as each emotion says it: seconds, RMS, median F0 in Hz and its range in semitones."""
    voices = ("en-us+f2", "en+f3", "en-us+m3", "en-gb-scotland+m7")
    keys = [(emotion, voice) for emotion in EMOTIONS for voice in voices]
    requests = [
        Request("The train takes about forty minutes to the city.", voice, **whole_numbers(emotion))
        for emotion, voice in keys
    ]
    rows = []
    for (emotion, voice), speech in zip(keys, speak(requests), strict=True):
        samples = resample(speech.samples, speech.rate)
        hertz = pitch(samples, hop=160, window=1024, lowest=60, highest=500)
        loud = np.array([np.sqrt(np.mean(samples[k * 160 : k * 160 + 1024] ** 2)) for k in range(len(samples) // 160)])
        voiced = hertz[: len(loud)][loud > 0.3 * loud.max()]
        low, middle, high = np.percentile(voiced, [15, 50, 85])
        spoken = np.flatnonzero(np.abs(samples) > 0.01)
        rows.append(
            (emotion, voice, np.ptp(spoken) / 16000, np.sqrt(np.mean(samples**2)), middle, 12 * np.log2(high / low))
        )
    table = pd.DataFrame(rows, columns=["emotion", "voice", "seconds", "rms", "hertz", "semitones"])
    return table.drop(columns="voice").groupby("emotion").mean()


def whole_numbers(emotion: str) -> dict[str, int]:
    return {name: int(getattr(TYPICAL[emotion], name)) for name in NAMES if name != "pause"}


@pytest.mark.parametrize(
    ("measure", "most", "middle", "least"),
    [
        ("seconds", "Sad", "Neutral", "Fear"),
        ("rms", "Angry", "Neutral", "Sad"),
        ("hertz", "Surprise", "Neutral", "Sad"),
        ("semitones", "Surprise", "Neutral", "Sad"),
    ],
)
def test_voices_sound_as_the_table_says(heard: pd.DataFrame, measure: str, most: str, middle: str, least: str) -> None:
    of_emotion = heard[measure].to_dict()
    assert of_emotion[most] > 1.08 * of_emotion[middle]
    assert of_emotion[middle] > 1.08 * of_emotion[least]


def test_what_is_said_depends_on_the_requests_alone() -> None:
    requests = [Request(text, "en-us+f1", 150, 50, 50, 60, 0) for text in ("Good morning.", "Who is there?")]
    first, second = (list(speak(requests)) for _ in range(2))
    assert len(first) == 2
    for a, b in zip(first, second, strict=True):
        assert (a.rate, b.rate) == (22050, 22050)
        np.testing.assert_array_equal(a.samples, b.samples)
    assert not np.array_equal(first[0].samples[:10000], first[1].samples[:10000])
    assert "espeakng_loader" not in sys.modules  # the library's state stays out of this process
    assert espeak._library.cache_info().currsize == 0


# --- mistakes ---------------------------------------------------------------------------------------


def test_a_missing_package_is_one_line_that_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"needs the package espeakng-loader; run: pip install .*requirements-demo\.txt"
    ):
        prepare(tmp_path, clips=56, seed=1)
    assert list(tmp_path.rglob("*.*")) == []


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [("--clips", "55", "--clips 55: must be at least 56"), ("--seed", "-1", "--seed -1: must be 0 ... 4294967295")],
)
def test_numbers_out_of_range_are_refused(
    option: str, value: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["prepare", "synthetic", "--out", str(tmp_path), option, value])
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {problem}")


def test_recordings_of_another_corpus_are_left_alone(corpus: Path) -> None:
    before = digests(corpus)
    with pytest.raises(UserError, match=r"SYNTHETIC_.*wav: not a recording of this corpus; empty the folder"):
        prepare(corpus, clips=57, seed=4)
    assert digests(corpus) == before


def test_an_unknown_voice_is_not_replaced_by_another() -> None:
    with pytest.raises(ValueError, match="no voice 'en-gb\\+m2'"):
        list(speak([Request("Hello.", "en-gb+m2", 150, 50, 50, 60, 0)]))


def test_ctrl_c_is_one_line_and_leaves_no_labels(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from medusa.__main__ import main
import medusa.corpora.synthetic as synthetic
write = synthetic.write_wav
def interrupted(path, samples):
    write(path, samples)
    os.kill(os.getpid(), signal.SIGINT)
synthetic.write_wav = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs are started deaf to it
if __name__ == "__main__":
    main(["prepare", "synthetic", "--out", sys.argv[1], "--clips", "56"])
"""
    path = tmp_path / "interrupted.py"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(path), str(tmp_path / "out")], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1].startswith("stopped: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "labels.csv").exists()
