"""The live view on a terminal (Textual): lists that renew themselves, one mail with its history, acts with a reason."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Header, Input, Label, Static, TabbedContent, TabPane

from mailflow.cli.acting import DOES
from mailflow.cli.invocation import Row
from mailflow.cli.live.board import Board, Source, Story, possible
from mailflow.errors import Unavailable
from mailflow.ops.outlook import Bar, age_labels, sentences
from mailflow.register.acts import Verb

DARK, LIGHT = "textual-dark", "textual-light"
WAITING, SET_ASIDE, DESKS, STATES = "waiting", "set-aside", "desks", "states"
COLUMNS = {
    WAITING: ("left", "what", "intake", "state", "attempts", "next", "reason"),
    SET_ASIDE: ("intake", "received", "state", "reason", "detail"),
    STATES: ("queue", "state", "mails"),
}
ALARMS_MAX = 4
"""Shown above the lists; `mailflow alarms list` has all."""
TITLES = {WAITING: "Queue", SET_ASIDE: "Set aside", DESKS: "Ages by desk", STATES: "States"}


class Table(DataTable[Text]):
    """A list of which rows can be chosen."""

    def fill(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Show these rows; the cursor and the place in a long list stay."""
        cursor, offset = self.cursor_row, self.scroll_y
        if not self.columns:
            self.add_columns(*columns)
        self.clear()
        for row in rows:
            self.add_row(*(Text("" if row.get(name) is None else str(row[name])) for name in columns))
        self.move_cursor(row=min(cursor, max(len(rows) - 1, 0)), animate=False)
        self.scroll_to(y=offset, animate=False)


class MailScreen(ModalScreen[None]):
    """One mail with its history."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss", "Back")]

    def __init__(self, story: Story) -> None:
        super().__init__()
        self._story = story

    def compose(self) -> ComposeResult:
        facts = [f"{name}: {value}" for name, value in self._story.facts.items() if value not in (None, "", ())]
        with Vertical(classes="sheet"):
            yield Label(f"Mail {self._story.intake}", classes="title")
            yield Static("\n".join(facts), markup=False)
            yield Table(id="history", cursor_type="row")
            yield Footer()

    def on_mount(self) -> None:
        table = self.query_one("#history", Table)
        table.fill(("at", "kind", "number", "detail"), self._story.entries)
        table.focus()


class WhyScreen(ModalScreen[str | None]):
    """Asks for the reason of an act. Without one nothing is done."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Do nothing")]

    def __init__(self, verb: Verb, what: str) -> None:
        super().__init__()
        self._question = f"{verb.replace('-', ' ').capitalize()} {what}: {DOES[verb]}. Why? It is kept in the journal."

    def compose(self) -> ComposeResult:
        with Vertical(classes="question"):
            yield Label(self._question)
            yield Input(placeholder="the reason; Enter does it, Escape does nothing")

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        _ = self.dismiss(submitted.value.strip() or None)


class LiveView(App[None]):
    """The whole view. It shows codes, numbers and instants, no personal data."""

    TITLE = "mailflow"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    HeaderIcon { display: none; }
    #said { padding: 0 1; height: auto; }
    TabbedContent, ContentSwitcher, DataTable { height: 1fr; }
    TabPane { padding: 0; }
    .sheet { padding: 1 2; background: $surface; }
    .sheet Static { height: auto; max-height: 50%; }
    .title { text-style: bold; }
    .question Label { width: 100%; }
    MailScreen, WhyScreen { align: center middle; }
    .question { width: 72; max-width: 100%; height: auto; padding: 1 2; background: $panel; border: solid $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("r", "renew", "Renew"),
        Binding("h", "act('hold')", "Hold"),
        Binding("l", "act('release')", "Release"),
        Binding("t", "act('retry')", "Retry"),
        Binding("j", "act('rejudge')", "Rejudge"),
        Binding("a", "act('set-aside')", "Set aside"),
        Binding("d", "theme", "Theme"),
        *(Binding(str(place), f"show('{tab}')", show=False) for place, tab in enumerate(TITLES, 1)),
    ]

    def __init__(self, source: Source, *, seconds: float) -> None:
        super().__init__()
        self._source = source
        self._seconds = seconds
        self._rows: dict[str, Sequence[Row]] = {}

    def compose(self) -> ComposeResult:
        yield Header(show_clock=True)
        yield Static(id="said", markup=False)
        with TabbedContent(initial=WAITING):
            for place, (tab, title) in enumerate(TITLES.items(), 1):
                with TabPane(f"{place} {title}", id=tab):
                    yield Table(id=f"table-{tab}", cursor_type="row")
        yield Footer()

    async def on_mount(self) -> None:
        self.theme = DARK
        self.sub_title = self._source.settings.environment.value
        await self.action_renew()
        self.set_interval(self._seconds, self.action_renew)
        self._table(WAITING).focus()

    # What is shown

    async def action_renew(self) -> None:
        """Read everything anew. While the register cannot be read the last view stays, and says so."""
        try:
            board = await self._source.read()
        except Unavailable as error:
            self.query_one("#said", Static).update(Text(f"Unavailable: {error}", style="bold red"))
            return
        self._show(board)

    def _show(self, board: Board) -> None:
        self.query_one("#said", Static).update(_said(board))
        self._rows = {WAITING: board.waiting, SET_ASIDE: board.set_aside, STATES: board.states}
        for tab, rows in self._rows.items():
            self._table(tab).fill(COLUMNS[tab], rows)
        labels = age_labels(board.view.deadline)[::-1]  # what is late stands first, where a narrow terminal shows it
        columns = ("state", "sender", "desk", "all", *labels)
        self._table(DESKS).fill(columns, [_bar(bar, labels) for bar in board.view.bars])

    def _table(self, tab: str) -> Table:
        return self.query_one(f"#table-{tab}", Table)

    def action_show(self, tab: str) -> None:
        """Go to a list."""
        self.query_one(TabbedContent).active = tab
        self._table(tab).focus()

    def action_theme(self) -> None:
        """Between light and dark."""
        self.theme = LIGHT if self.theme == DARK else DARK

    # One row

    def _row(self) -> Row | None:
        """The row under the cursor."""
        tab = self.query_one(TabbedContent).active
        rows, place = self._rows.get(tab, ()), self._table(tab).cursor_row
        return rows[place] if 0 <= place < len(rows) else None

    async def on_data_table_row_selected(self, _: DataTable.RowSelected) -> None:
        """Enter: the mail with its history."""
        row = self._row()
        if row is None or row.get("intake") is None:
            return
        try:
            story = await self._source.story(int(str(row["intake"])))
        except Unavailable as error:
            self.notify(str(error), severity="error")
            return
        await self.push_screen(MailScreen(story))

    async def action_act(self, word: str) -> None:
        """Ask why, then do it."""
        row, verb = self._row(), Verb(word)
        if row is None or row.get("intake", row.get("outbox")) is None:
            self.notify("Choose a mail first.", severity="warning")
            return
        what = f"outgoing mail {row['outbox']}" if row.get("outbox") is not None else f"mail {row['intake']}"
        if not possible(verb, row):
            self._refuse(what, f"it cannot be asked to {verb} as it stands")
            return

        async def answered(why: str | None) -> None:
            if why is not None:
                await self._act(verb, row, why, what)

        await self.push_screen(WhyScreen(verb, what), answered)

    async def _act(self, verb: Verb, row: Row, why: str, what: str) -> None:
        try:
            left = await self._source.act(verb, row, why)
        except Unavailable as error:
            self.notify(str(error), severity="error")
            return
        if left:
            self._refuse(what, left)
        else:
            self.notify(f"{what}: {DOES[verb]}.", markup=False)
        await self.action_renew()

    def _refuse(self, what: str, why: str) -> None:
        self.notify(f"Nothing was changed: {what}: {why}.", severity="warning", markup=False)


def _said(board: Board) -> Text:
    """The state in words; warnings stand out, by weight and mark too, not by colour alone."""
    lines = [Text(line, style="bold red" if line.startswith("Warning") else "") for line in sentences(board.view)]
    alarms = board.alarms[:ALARMS_MAX]
    lines += [Text(line, style="" if line.endswith("(acknowledged)") else "bold red") for line in alarms]
    if board.health:
        lines.append(Text(board.health, style="" if board.health.endswith("ready.") else "bold red"))
    return Text("\n").join(lines)


def _bar(bar: Bar, labels: Sequence[str]) -> Row:
    known = {"state": bar.state, "sender": bar.sender or "not judged", "desk": bar.desk or "", "all": bar.total}
    return known | dict(zip(labels, reversed(bar.counts), strict=True))
