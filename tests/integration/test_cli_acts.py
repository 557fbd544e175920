"""What operators do at the command line: find, then hold, release, retry, judge again, set aside."""

import json
from pathlib import Path

import pytest

from mailflow.cli.invocation import caller
from mailflow.demo.installation import DeskSoftware, Installation
from tests.integration.test_cli import DONE, NOW, SET_ASIDE, Run, installation, listed, pki, run, software, template
from tests.integration.test_cli_mails import TEMPORARY, a_dem

__all__ = ["installation", "pki", "run", "software", "template"]

WHY = ("--why", "a reason")


@pytest.fixture
def answered(run: Run, installation: Installation, software: DeskSoftware, tmp_path: Path) -> None:
    """One mail that was registered, whose answer has not left; one that proves nothing."""
    good, unsigned = tmp_path / "good.eml", tmp_path / "unsigned.eml"
    good.write_bytes(installation.request(software, [a_dem()], message_id="<1@lille.example>", at=NOW))
    unsigned.write_bytes(b"From: a@b.example\r\n\r\nBonjour\r\n")
    assert run("ingest", good, unsigned, "--apply")[0] == TEMPORARY, "there is no mail server"


@pytest.mark.usefixtures("answered")
def test_find_by_all_that_an_operator_may_know(run: Run) -> None:
    told = listed(run, "show", "1")
    (number,) = {entry["number"] for entry in told["history"]} - {None}
    (answer,) = [row for row in listed(run, "find")["items"] if row["what"] == "answer"]
    for named in (
        ("--intake", "1"),
        ("--number", number),
        ("--desk", "Z0001"),
        ("--file", "DEMZ0001-*"),
        ("--sender", "lille"),
        ("--message-id", "1@lille.example"),
        ("--state", "answered", "--state", "composed"),
    ):
        found = listed(run, "find", *named)
        assert (found["matching"], [row["what"] for row in found["items"]]) == (2, ["mail", "answer"]), named
    assert answer["left"].startswith("11 h ")
    (aside,) = listed(run, "find", "--reason", "CTRL_SIG_0001")["items"]
    assert (aside["intake"], aside["state"], aside["left"]) == (2, "set_aside", "")
    assert listed(run, "find", "--since", f"{NOW:%Y-%m-%d}", "--what", "mail")["matching"] == 2
    assert run("find", "--desk", "59999")[:2] == (SET_ASIDE, "Matching: 0.\n")
    assert run("find", "--limit", "1")[1].startswith("Matching: 3; the first 1:")


@pytest.mark.usefixtures("answered")
def test_an_act_is_previewed_done_once_and_in_the_journal(run: Run) -> None:
    code, out, _ = run("hold", "--sender", "lille", *WHY)
    assert code == DONE
    assert out.splitlines() == [
        "would: hold 1 of 2: 1 answer composed",
        "  answer 1 to mail 1, composed: it waits until it is released",
        "left alone: 1: it is decided: its answer is another matter",
        "  mail 1, answered: it is decided: its answer is another matter",
        "Nothing was changed. Add --apply to do it.",
    ]
    assert run("find", "--state", "held")[0] == SET_ASIDE, "a plan changes nothing"
    assert run("hold", "--sender", "lille", *WHY, "--apply")[1].startswith("does: hold 1 of 2")
    assert run("hold", "--sender", "lille", *WHY, "--apply")[0] == SET_ASIDE, "nothing is left to be done"
    assert listed(run, "find", "--state", "held")["items"][0]["reason"] == "operator"
    assert "held until somebody releases them: 1" in run("queue")[1], "its time goes on"
    (kept,) = [entry for entry in listed(run, "show", "1")["history"] if entry["kind"] == "outbox-held"]
    assert f"by={caller()}" in kept["detail"]
    assert "why=a reason" in kept["detail"]

    told = json.loads(run("release", "--state", "held", *WHY, "--by", "anna", "--apply", "--json")[1])
    assert (told["applied"], told["by"], [item["what"] for item in told["done"]]) == (
        *(True, f"anna ({caller()})"),
        ["answer"],
    )
    (released,) = listed(run, "find", "--what", "answer")["items"]
    assert (released["state"], released["reason"]) == ("composed", None)


@pytest.mark.usefixtures("answered")
def test_what_was_set_aside_is_judged_again_and_set_aside_again(run: Run) -> None:
    assert run("set-aside", "--intake", "2", *WHY, "--apply")[0] == SET_ASIDE
    assert run("rejudge", "--reason", "CTRL_SIG_0001", *WHY, "--apply")[0] == DONE
    (mail,) = listed(run, "find", "--intake", "2")["items"]
    assert (mail["state"], mail["reason"]) == ("received", None)
    assert run("set-aside", "--intake", "2", *WHY, "--apply")[0] == DONE
    (mail,) = listed(run, "find", "--intake", "2")["items"]
    assert (mail["state"], mail["reason"], mail["left"][:4]) == ("set_aside", "operator", "11 h")


@pytest.mark.usefixtures("answered")
def test_who_proved_nothing_is_refused_in_silence(run: Run) -> None:
    command = ("reject", "--what", "mail", "--tell", "Non.", *WHY)
    assert run(*command)[1].startswith("The sender is proven, and told, of 0; nobody is proven, and nobody told, of 1.")
    told = json.loads(run(*command, "--apply", "--json")[1])
    assert ([item["id"] for item in told["done"]], told["told"]) == ([2], [])
    assert [item["because"] for item in told["left"]] == ["it is decided: its answer is another matter"]
    (mail,) = listed(run, "find", "--intake", "2")["items"]
    assert (mail["state"], mail["reason"], mail["left"]) == ("set_aside", "CTRL_MEL_0028", "")
    assert run("reject", "--intake", "2", *WHY)[0] == 2, "it says what the sender is told"
    assert run("reject", "--intake", "2", "--tell", " ", *WHY)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("hold", "--intake", "1"), "say why, with --why"),
        (("hold", *WHY), "say which mails are meant"),
        (("hold", "--what", "letters", *WHY), "'letters' is not one of"),
        (("hold", "--since", "yesterday", *WHY), "'yesterday' does not match the formats"),
    ],
)
def test_a_line_that_says_too_little_is_refused(run: Run, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = run(*arguments)
    assert (code, said in err) == (2, True), err


def test_who_acts_is_the_user_and_who_became_that_user_by_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    user = caller()
    monkeypatch.setenv("LOGNAME", "somebody")
    assert caller() == user, "what anybody can set is not believed"
    monkeypatch.setenv("SUDO_USER", "anna")
    assert caller() == f"anna as {user}"
