"""A soak as a picture: four panels of lines over time, in one SVG without any library."""

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 900, 130, 70, 20, 40, 34
COLOURS = ["#1f6fb2", "#d9822b", "#3a9b5c", "#b0413e"]


def nice(value):
    """The next number that reads well above a value."""
    scale = 1
    while scale * 10 < value:
        scale *= 10
    return next(scale * step for step in (1, 2, 5, 10) if scale * step >= value)


def svg(title, seconds, panels, outages):
    """`panels`: (heading, unit, [(name, values)]); `outages`: (from, to) in seconds."""
    span = max(seconds[-1], 1)
    inner = WIDTH - LEFT - RIGHT
    height = TOP + len(panels) * (PANEL + GAP) + 20

    def x(second):
        return LEFT + inner * min(second, span) / span

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{title}</text>',
    ]
    for n, (heading, unit, lines) in enumerate(panels):
        top = TOP + n * (PANEL + GAP)
        bottom = top + PANEL
        most = nice(max([max(values) for _, values in lines] + [0.001]))
        for start, end in outages:
            width = max(x(end) - x(start), 1)
            out.append(f'<rect x="{x(start):.1f}" y="{top}" width="{width:.1f}" height="{PANEL}" fill="#eeeeee"/>')
        out.append(f'<rect x="{LEFT}" y="{top}" width="{inner}" height="{PANEL}" fill="none" stroke="#999999"/>')
        for mark, value in [(bottom, 0), (top, most)]:
            out.append(f'<text x="{LEFT - 6}" y="{mark + 4}" text-anchor="end">{value:g} {unit}</text>')
        out.append(f'<text x="{LEFT}" y="{top - 6}" font-weight="bold">{heading}</text>')
        for k, (name, values) in enumerate(lines):
            points = " ".join(f"{x(s):.1f},{bottom - PANEL * v / most:.1f}" for s, v in zip(seconds, values))
            out.append(f'<polyline fill="none" stroke="{COLOURS[k]}" stroke-width="1.3" points="{points}"/>')
            out.append(f'<text x="{LEFT + 180 + 130 * k}" y="{top - 6}" fill="{COLOURS[k]}">{name}</text>')
    out.append(f'<text x="{LEFT}" y="{height - 8}">0</text>')
    out.append(f'<text x="{WIDTH - RIGHT}" y="{height - 8}" text-anchor="end">{span / 60:.1f} minutes</text>')
    out.append(f'<text x="{WIDTH / 2}" y="{height - 8}" text-anchor="middle">grey: the store was killed</text>')
    return "\n".join(out + ["</svg>"]) + "\n"
