"""Memory and descriptors over time, as an SVG that needs nothing else."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.hosts.soak.outages import Outage
from tests.hosts.soak.samples import Sample

WIDTH, HEIGHT, MARGIN = 800, 220, 60
FONT = 'font-family="sans-serif" font-size="12"'
POINTS_MAX = 1_000
GRID = 4
"""Lines above the zero."""
ROUND = 10
"""They stand at multiples of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One measure in a panel."""

    what: str
    colour: str
    measure: Callable[[Sample], float]


MEMORY = (
    Line(what="all", colour="#333333", measure=lambda sample: sample.memory),
    Line(what="main processes", colour="#1f77b4", measure=lambda sample: sample.main),
    Line(what="pools", colour="#d95f02", measure=lambda sample: sample.pool),
)
DESCRIPTORS = (Line(what="open", colour="#1b7837", measure=lambda sample: sample.descriptors),)


def plot(samples: Sequence[Sample], outages: Sequence[Outage]) -> str:
    """Two panels over the minutes; outages are grey. Of nothing when there are no two samples."""
    shown = samples[:: len(samples) // POINTS_MAX + 1]
    panels = (("Memory of the workers, PSS, MiB", MEMORY), ("File descriptors of the workers", DESCRIPTORS))
    height = len(panels) * (HEIGHT + MARGIN)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {FONT} viewBox="0 0 {WIDTH + 2 * MARGIN} {height + MARGIN}">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    if len(shown) > 1:
        for number, (title, measures) in enumerate(panels):
            top = number * (HEIGHT + MARGIN) + MARGIN
            lines += _panel(title, measures, shown, outages, top)
    return "\n".join([*lines, "</svg>", ""])


def _panel(
    title: str, measures: Sequence[Line], samples: Sequence[Sample], outages: Sequence[Outage], top: int
) -> list[str]:
    begun, lasted = samples[0].at, samples[-1].at - samples[0].at
    most = max(line.measure(sample) for line in measures for sample in samples)
    highest = GRID * ROUND * (math.floor(most / (GRID * ROUND)) + 1)
    bottom = top + HEIGHT

    def across(at: float) -> float:
        return MARGIN + WIDTH * min(max((at - begun) / lasted, 0.0), 1.0)

    def up(value: float) -> float:
        return bottom - HEIGHT * value / highest

    drawn = [f'<text x="{MARGIN}" y="{top - 12}" font-weight="bold">{title}</text>']
    for one in outages:
        x, width = across(one.begun), max(across(one.ended) - across(one.begun), 1.0)
        drawn.append(f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="{HEIGHT}" fill="#dddddd"/>')
    for step in range(GRID + 1):
        value, y = highest * step / GRID, up(highest * step / GRID)
        x, minutes = MARGIN + WIDTH * step / GRID, lasted / 60 * step / GRID
        drawn += [
            f'<path d="M{MARGIN} {y:.1f}h{WIDTH}" stroke="#bbbbbb" stroke-width="0.5"/>',
            f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.0f}</text>',
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{minutes:.1f} min</text>',
        ]
    for number, line in enumerate(measures):
        points = " ".join(f"{across(one.at):.1f},{up(line.measure(one)):.1f}" for one in samples)
        x = MARGIN + WIDTH - 110 * (len(measures) - number - 1)
        drawn += [
            f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="1.5"/>',
            f'<text x="{x}" y="{top - 12}" text-anchor="end" fill="{line.colour}">{line.what}</text>',
        ]
    return drawn
