"""What operators do about mails: `hold`, `release`, `retry`, `rejudge`, `set-aside`, on whatever a filter matches."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import click

from mailflow import app
from mailflow.cli.finding import filter_options, name_of
from mailflow.cli.invocation import Act, Exit, Invocation, act_options, say, show_json, wait_for
from mailflow.mail import rejecting
from mailflow.mail.kinds import KINDS, RECEIPT
from mailflow.mail.rejecting import Refusal
from mailflow.register import acts, journal
from mailflow.register.acts import Left, Verb, Weighed
from mailflow.register.cases import Filter, Item

TELL_CHARACTERS_MAX = 1_000
SHOWN = 20
"""Most of them that a preview names."""

DOES = {
    Verb.HOLD: "it waits until it is released",
    Verb.RELEASE: "work on it goes on",
    Verb.RETRY: "it is tried at once",
    Verb.REJUDGE: "it is judged again, as if for the first time",
    Verb.RESEND: "the same octets go again",
    Verb.SET_ASIDE: "nothing is done about it until it is judged again",
}
"""What becomes of it."""


def _command(verb: Verb, said: str, example: str) -> click.Command:
    """The command that does this to whatever its options name."""

    @click.command(verb.value, help=f"{said}\n\nExample: mailflow {verb} {example}")
    @filter_options
    @act_options
    @click.pass_obj
    def command(invocation: Invocation, which: Filter, *, act: Act) -> int:
        require_reason(act)
        require_criterion(which)
        if verb is Verb.RESEND and not (which.kinds or which.outgoing):
            which = replace(which, kinds=[kind for kind in KINDS if kind != RECEIPT])
        return wait_for(_act(invocation, verb, which, act))

    return command


def require_reason(act: Act) -> None:
    """Even a plan says why, so that the same line does it with --apply."""
    if not act.why:
        raise click.UsageError("say why, with --why: the reason is kept in the journal")


def require_criterion(which: Filter) -> None:
    """What is meant for everything is written as such: --since and a day long past."""
    if which.is_empty:
        raise click.UsageError("say which mails are meant; `mailflow find` takes the same options and changes nothing")


async def _act(invocation: Invocation, verb: Verb, which: Filter, act: Act) -> int:
    at = app.now()
    async with app.register_of(invocation.settings) as register:
        if act.apply:
            async with register.begin() as tx:
                done_by = journal.Act(by=act.by, why=act.why)
                weighed = await acts.perform(tx, verb, which, done_by, at)
        else:
            async with register.read() as tx:
                weighed = await acts.preview(tx, verb, which, at)
    return show_weighed(verb.value, DOES[verb], weighed, act)


def show_weighed(word: str, becomes: str, weighed: Weighed, act: Act, told: Collection[int] | None = None) -> int:
    """What was, or would be, done and what was left, and why; the exit code that says so."""
    if act.as_json:
        show_json(_facts(word, weighed, act) | ({} if told is None else {"told": sorted(told)}))
    else:
        _print(word, becomes, weighed, act)
    if any(why is Left.AT_WORK for _, why in weighed.left):
        return Exit.TEMPORARY
    return Exit.DONE if weighed.done else Exit.SET_ASIDE


def _facts(word: str, weighed: Weighed, act: Act) -> dict[str, object]:
    def row(item: Item) -> dict[str, object]:
        return {"what": item.kind, "id": item.id, "intake": item.intake_id, "state": item.state.value}

    return {
        "act": word,
        "applied": act.apply,
        "by": act.by,
        "why": act.why,
        "done": [row(item) for item in weighed.done],
        "left": [row(item) | {"because": why.value} for item, why in weighed.left],
    }


def _print(word: str, becomes: str, weighed: Weighed, act: Act) -> None:
    done, left = weighed.done, weighed.left
    verb = "does" if act.apply else "would"
    say(f"{verb}: {word} {len(done)} of {len(done) + len(left)}: {_count(done)}" if done else f"{verb}: nothing")
    _name([f"{name_of(item)}, {item.state}: {becomes}" for item in done])
    for why, number in Counter(why for _, why in left).most_common():
        say(f"left alone: {number}: {why}")
    _name([f"{name_of(item)}, {item.state}: {why}" for item, why in left])
    if not act.apply:
        say("Nothing was changed. Add --apply to do it.")


def _count(items: Sequence[Item]) -> str:
    kinds = Counter(f"{item.kind} {item.state}" for item in items)
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))


def _name(lines: Sequence[str]) -> None:
    for line in lines[:SHOWN]:
        say(f"  {line}")
    if len(lines) > SHOWN:
        say(f"  and {len(lines) - SHOWN} more")


hold = _command(
    Verb.HOLD,
    "Keep mails from being decided, and outgoing mails from being sent, until they are released. Their time goes on.",
    '--desk 59123 --why "the desk sends nonsense, called its vendor" --apply',
)
release = _command(
    Verb.RELEASE,
    "Go on with what is held: mails are decided, outgoing mails composed and sent.",
    '--state held --sender lille --why "new certificate enrolled" --apply',
)
retry = _command(
    Verb.RETRY,
    "Try at once what waits for its next attempt: a mail to be judged, an outgoing mail to be composed or sent.",
    '--what answer --state composed --why "the SMTP server is back" --apply',
)
rejudge = _command(
    Verb.REJUDGE,
    "Judge undecided mails, or mails that were set aside, again from the beginning: after a fix, or a new enrolment.",
    '--reason CTRL_SIG_0012 --since 2026-11-24 --why "certificate enrolled" --apply',
)
set_aside = _command(
    Verb.SET_ASIDE,
    "Take undecided mails out of the queue until they are judged again. Nobody is told; their time goes on.",
    '--intake 812 --why "waits for the vendor" --apply',
)
resend = _command(
    Verb.RESEND,
    "Send outgoing mails that have left once more, the same octets: they came back, or a desk has lost them. Technical "
    "receipts go again only when they are asked for, by --what or --outgoing.",
    '--what answer --desk 59123 --since 2026-11-24 --why "the desk lost a day of mail" --apply',
)


@click.command(
    Verb.REJECT.value,
    help="Refuse undecided mails, or mails that were set aside. Whoever is proven to have sent one is told so, with "
    "what --tell says; nobody else is. Nothing of it is registered.\n\n"
    'Example: mailflow reject --intake 812 --why "agreed by telephone" --tell "Envoi de test : à refaire." --apply',
)
@click.option("--tell", required=True, help="What the sender is told, in French; --why is for the journal alone.")
@filter_options
@act_options
@click.pass_obj
def reject(invocation: Invocation, tell: str, which: Filter, *, act: Act) -> int:
    """See its help."""
    require_reason(act)
    require_criterion(which)
    if not 0 < len(tell.strip()) <= TELL_CHARACTERS_MAX:
        raise click.UsageError(f"--tell takes up to {TELL_CHARACTERS_MAX} characters, and not none")
    return wait_for(_reject(invocation, which, tell.strip(), act))


async def _reject(invocation: Invocation, which: Filter, tell: str, act: Act) -> int:
    settings = invocation.settings
    async with app.register_of(settings) as register, app.mail_door(settings, register) as door:
        if act.apply:
            refusal = Refusal(act=journal.Act(by=act.by, why=act.why), note=tell)
            rejection = await rejecting.reject(door, which, refusal)
        else:
            rejection = await rejecting.plan(door, which)
    told = {item.id for item in rejection.told}
    if not act.as_json:
        silent = len(rejection.weighed.done) - len(told)
        say(f"The sender is proven, and told, of {len(told)}; nobody is proven, and nobody told, of {silent}.")
    return show_weighed(Verb.REJECT.value, "it is refused", rejection.weighed, act, told=told)


COMMANDS: Sequence[click.Command] = (hold, release, retry, rejudge, set_aside, reject, resend)
"""In the order in which they are listed."""
