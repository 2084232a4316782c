import os
import subprocess
import sys
import threading

import pytest

from medusa.errors import PartlyDone, UserError, command, memory_advice


def fail_with(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(("error", "code"), [(UserError("labels.csv, row 3: no"), 2), (PartlyDone("2 of 9 failed"), 3)])
def test_a_users_mistake_is_one_line_and_an_exit_code(
    error: UserError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        command(fail_with)(error)
    assert caught.value.code == code
    assert capsys.readouterr() == ("", f"error: {error}\n")


def test_a_message_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(fail_with)(UserError("first\n  second\tthird"))
    assert capsys.readouterr().err == "error: first second third\n"


def test_ctrl_c_says_how_to_go_on_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command(fail_with)(KeyboardInterrupt())
    assert caught.value.code == 130  # 128 + SIGINT, as shells have it
    assert "same command continues" in capsys.readouterr().err


def test_our_own_mistakes_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        command(fail_with)(ZeroDivisionError())


def test_only_want_of_memory_is_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), memory_advice("lower batch_size"):
        raise RuntimeError("shapes differ")
    with pytest.raises(UserError, match="out of memory: lower batch_size"), memory_advice("lower batch_size"):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")


def test_a_command_runs_in_a_thread_too() -> None:
    """Where nobody may ask for signals."""
    seen: list[int] = []
    thread = threading.Thread(target=command(seen.append), args=(3,))
    thread.start()
    thread.join()
    assert seen == [3]


def test_arguments_reach_the_command_and_success_exits_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[int, str]] = []
    command(lambda number, word: seen.append((number, word)))(3, word="x")
    assert seen == [(3, "x")]
    assert capsys.readouterr() == ("", "")


def test_names_that_are_not_utf_8_or_steer_the_terminal_can_be_printed() -> None:
    assert str(UserError("a\udcff.wav: gone")) == "a\\udcff.wav: gone"
    assert str(UserError("\x1b[2Ja\x00.wav: géné\u00a0\U0001f600")) == "\\x1b[2Ja\\x00.wav: géné\u00a0\U0001f600"


def test_what_the_terminal_cannot_show_does_not_end_a_command() -> None:
    code = r"from medusa.errors import command; command(lambda: print('géné \U0001f600 \udce9'))()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONIOENCODING": "latin-1"}, capture_output=True, check=True
    )
    assert done.stdout.decode("latin-1").strip() == "géné \\U0001f600 \\udce9"


def test_a_long_cell_of_somebodys_file_does_not_bury_the_message() -> None:
    error = UserError(f"labels.csv, line 3: '{'a' * 5000}' is no number; mend it")
    assert str(error).startswith("labels.csv, line 3: 'aaa")
    assert str(error).endswith("a' is no number; mend it")
    assert len(str(error)) < 500


def test_a_reader_who_has_seen_enough_ends_a_command_quietly() -> None:
    code = "from medusa.errors import command; command(lambda: [print('x' * 4096) for _ in range(100)])()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")
