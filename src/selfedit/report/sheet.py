"""L4. The page's style sheet: one column, system fonts, light and dark, tables that scroll on a narrow screen."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1b1f24; --muted: #5c6570; --line: #dcdfe3;
  --accent: #0a5c8f; --blue: #0072b2; --kept: #b34e00; --kept-wash: #fdf1e6; --right: #12703f;
  --wrong: #a02c2c; --warn-wash: #fff3cd;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1c2024; --ink: #e8eaed; --muted: #a2abb5; --line: #363c43;
    --accent: #74bde8; --blue: #4ba6de; --kept: #ff9d4d; --kept-wash: #2d2319; --right: #6fcf97;
  --wrong: #f08c8c; --warn-wash: #3a3113;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 60rem; margin: 0 auto; padding: 3rem 1.25rem 5rem; }
h1, h2, .lead { font-family: "Iowan Old Style", Charter, Georgia, "DejaVu Serif", serif; text-wrap: balance; }
.kicker { margin: 0 0 .5rem; color: var(--muted); font-size: .85rem; letter-spacing: .04em;
  overflow-wrap: anywhere; }
h1 { margin: 0 0 .8rem; font-size: clamp(1.4rem, 1.1rem + 1.2vw, 1.9rem); line-height: 1.28; font-weight: 600; }
.lead { margin: 0 0 .6rem; font-size: 1.12rem; text-wrap: pretty; }
h2 { margin: 3.2rem 0 .4rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: 1.45rem;
  line-height: 1.25; font-weight: 600; }
h3 { margin: 1.8rem 0 .5rem; font-size: 1.02rem; }
p { margin: .5rem 0; max-width: 44rem; }
.note, figcaption { color: var(--muted); font-size: .9rem; max-width: 44rem; }
.banner { margin: 1.2rem 0; padding: .8rem 1rem; border-left: 4px solid var(--kept);
  background: var(--warn-wash); border-radius: 4px; }
.banner ul { margin: .3rem 0 0; padding-left: 1.2rem; }
.banner li { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; min-width: 60%; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: baseline; white-space: nowrap; }
th { color: var(--muted); font-weight: 500; font-size: .82rem; line-height: 1.3; vertical-align: bottom;
  white-space: normal; max-width: 8.5rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 11rem; }
tr.main td { font-weight: 650; }
.range { display: block; color: var(--muted); font-weight: 400; font-size: .82rem; }
table.words td, table.words th { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
figure { margin: 1.4rem 0 2rem; }
figure svg { display: block; width: 100%; min-width: 30rem; height: auto; }
.plate { max-width: 44rem; overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: .8rem; }
figcaption { margin-top: .5rem; }
.cards { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr));
  align-items: start; }
.columns { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(14rem, 1fr); gap: .8rem;
  align-items: start; }
.card { padding: .8rem .9rem; background: var(--card); border: 1px solid var(--line);
  border-left: 4px solid var(--line); border-radius: 6px; min-width: 0; }
.card.kept { border-left-color: var(--kept); background: var(--kept-wash); }
.card.invalid { border-left-style: dashed; border-left-color: var(--wrong); }
.card header { display: flex; flex-wrap: wrap; gap: .2rem .6rem; align-items: baseline; }
.reward { font-size: 1.15rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.tag { font-size: .75rem; font-weight: 600; letter-spacing: .03em; color: var(--muted); }
.card.kept .tag { color: var(--kept); }
.card.invalid .tag { color: var(--wrong); }
.small { color: var(--muted); font-size: .82rem; }
.text { margin: .5rem 0 0; font-size: .88rem; line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere; }
.columns .text { font-size: .84rem; }
.fold:has(details[open]) .preview { display: none; }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--accent); overflow-wrap: anywhere; }
summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
details.context { border-top: 1px solid var(--line); margin: 0; padding: .6rem 0; }
details.context > summary { color: var(--ink); font-weight: 600; }
.tally { color: var(--muted); font-weight: 400; white-space: nowrap; }
.right { color: var(--right); } .wrong { color: var(--wrong); } .ungraded { color: var(--muted);
  font-style: italic; }
.passage { margin: .6rem 0 1rem; padding-left: .9rem; border-left: 2px solid var(--line);
  color: var(--muted); font-size: .92rem; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .8rem 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; font-size: .88rem; }
code, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .88em; }
@media print { details { display: block; } body { background: #fff; } }
@media (max-width: 34rem) { main { padding: 1.6rem 1rem 3rem; } .plate { padding: .4rem; } }
"""
