"""Charts as SVG, readable on light and on dark pages: one panel a case, one bar a subject, whiskers from least to most."""
from __future__ import annotations

from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 760, 150, 130
BAR, GAP, PANEL_GAP, TITLE = 16, 5, 30, 40
COLOURS = {"qanat": "#2f81f7", "wireguard-go": "#db6d28", "strongswan": "#a371f7", "bare": "#8b949e", "relay": "#3fb950", "openssl": "#3fb950"}
STYLE = ("text{font:12px system-ui,sans-serif;fill:#1f2328}.t{font-size:15px;font-weight:600}.c{font-weight:600}.u{fill:#59636e}"
         ".p{fill:#ffffff}.w{stroke:#1f2328}"
         "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.u{fill:#9198a1}.p{fill:#0d1117}.w{stroke:#e6edf3}}")


def draw(title: str, rows: list[dict]) -> str:
    """rows as in the JSON. Every case has a scale of its own, from zero."""
    cases: dict[str, list[dict]] = {}
    for row in rows:
        cases.setdefault(row["case"], []).append(row)
    y, parts = TITLE, []
    for case, bars in cases.items():
        y += PANEL_GAP - 8
        parts.append(f'<text class="c" x="12" y="{y}">{escape(case)} <tspan class="u">{escape(bars[0]["unit"])}</tspan></text>')
        y += 8
        scale = (WIDTH - LEFT - RIGHT) / (max(max(bar["max"], 0) for bar in bars) or 1)
        for bar in bars:
            middle = y + BAR / 2
            at, least, most = (LEFT + max(0.0, bar[key]) * scale for key in ("value", "min", "max"))
            parts.append(f'<text x="{LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(bar["subject"])}</text>'
                         f'<rect x="{LEFT}" y="{y}" width="{max(1.0, at - LEFT):.1f}" height="{BAR}" rx="2" '
                         f'fill="{COLOURS.get(bar["subject"], "#8b949e")}"/>'
                         f'<path class="w" fill="none" d="M{least:.1f} {middle:.1f}H{most:.1f}M{least:.1f} {middle - 3:.1f}v6M{most:.1f} {middle - 3:.1f}v6"/>'
                         f'<text x="{most + 8:.1f}" y="{middle + 4:.1f}">{bar["value"]:,.4g}</text>')
            y += BAR + GAP
    height = y + 14
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
            f'aria-label="{escape(title)}"><style>{STYLE}</style><rect class="p" width="100%" height="100%" rx="6"/>'
            f'<text class="t" x="12" y="26">{escape(title)}</text>{"".join(parts)}</svg>\n')
