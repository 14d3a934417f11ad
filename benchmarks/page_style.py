"""How the page of measurements looks, in light and in dark."""

STYLE = """
:root { color-scheme: light dark; --text: #1c2024; --soft: #60646c; --line: #d9d9e0; --back: #fcfcfd; --ours: #0d74ce;
  --peer: #8b8d98; --ahead: #18794e; --behind: #ca244d; }
@media (prefers-color-scheme: dark) { :root { --text: #edeef0; --soft: #b0b4ba; --line: #363a3f; --back: #111113;
  --ours: #70b8ff; --peer: #777b84; --ahead: #3dd68c; --behind: #ff9592; } }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.7rem; } h2 { margin-top: 3rem; font-size: 1.3rem; } h3 { margin: 1.8rem 0 .3rem; font-size: 1rem; }
a { color: var(--ours); } .small { color: var(--soft); font-size: .82rem; } code { font-size: .9em; }
.plot { overflow-x: auto; } svg { display: block; min-width: 760px; width: 100%; height: auto; }
svg text { fill: var(--text); font: 12px system-ui, sans-serif; } svg .soft { fill: var(--soft); font-size: 10px; }
svg .group { font-weight: 600; } svg .axis { stroke: var(--line); }
svg .one { stroke: var(--soft); stroke-dasharray: 3 3; }
svg .ours { fill: var(--ours); stroke: var(--ours); } svg .peer { fill: var(--peer); stroke: var(--peer); }
svg .ahead { fill: var(--ahead); stroke: var(--ahead); } svg .behind { fill: var(--behind); stroke: var(--behind); }
svg text, svg circle { stroke: none !important; }
svg circle { fill-opacity: .4; } svg line.middle { stroke-width: 3; } svg line.tail { stroke-width: 1; }
details { margin: .4rem 0; } summary { cursor: pointer; color: var(--soft); font-size: .85rem; }
table { border-collapse: collapse; font-size: .82rem; } th, td { padding: .2rem .6rem; text-align: right;
  border-bottom: 1px solid var(--line); white-space: nowrap; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 500; }
"""
