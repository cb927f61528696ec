"""A bar for each row: how much of mosquitto's cost a message costs, and a line where the bar is set. Plain SVG, so that
nothing has to be installed to draw it. The scale is logarithmic: a step to the left is as many times cheaper anywhere."""

import math
from html import escape

WIDTH, LEFT, RIGHT, TOP, STEP, BAR = 820, 215, 70, 64, 24, 14
LEAST, MOST = 1 / 64, 2
TICKS = [1 / 50, 1 / 20, 1 / 10, 1 / 5, 1 / 2, 1]
GOOD, BAD, LINE, TEXT, FAINT = "#2a7f8e", "#c8553d", "#1f2328", "#1f2328", "#d0d7de"


def draw(rows: list[dict]) -> str:
    height = TOP + STEP * len(rows) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
        text(16, 24, "CPU of the broker per message, as a share of mosquitto's", size=15, weight=600),
        text(16, 43, "shorter is cheaper; logarithmic; the black line is the most that a row may cost", colour="#57606a"),
    ]
    bottom = TOP + STEP * len(rows)
    for tick in TICKS:
        parts.append(line(x(tick), TOP - 2, x(tick), bottom, "#8c959f" if tick == 1 else FAINT, 1))
        label = "1" if tick == 1 else f"1/{1 / tick:.0f}"
        parts.append(text(x(tick), bottom + 17, label, anchor="middle", colour="#57606a"))
    for index, row in enumerate(rows):
        parts += draw_row(row, TOP + STEP * index)
    return "\n".join(parts) + "\n</svg>\n"


def draw_row(row: dict, y: float) -> list[str]:
    middle = y + STEP / 2
    end = x(row["ratio"])
    colour = GOOD if row["holds"] else BAD
    target = x(row["row"].bar)
    label = f"1/{1 / row['ratio']:.1f}" if row["ratio"] < 0.5 else f"{row['ratio']:.2f}"
    return [
        text(LEFT - 10, middle + 4, row["name"], anchor="end"),
        f'<rect x="{LEFT}" y="{middle - BAR / 2}" width="{max(1, end - LEFT):.1f}" height="{BAR}" fill="{colour}"/>',
        line(target, middle - BAR / 2 - 3, target, middle + BAR / 2 + 3, LINE, 2),
        # Behind whichever ends last, so that neither crosses it.
        text(max(end, target) + 7, middle + 4, label, weight=600),
    ]


def x(ratio: float) -> float:
    share = math.log(min(max(ratio, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def text(x: float, y: float, words: str, *, anchor="start", colour=TEXT, size=12, weight=400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" '
        f'font-weight="{weight}">{escape(words, quote=False)}</text>'
    )
