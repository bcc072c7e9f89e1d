// A graph over time by uPlot, as a figure with its numbers in words below, for those who do not see it.
import { el, setText } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const HEIGHT = 170;
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);

// series: [{ label, colour: "--series-1", dash: [4, 4] }]; format: number -> text; top: the least that the scale shows.
// Gives { node, set(times, lists), destroy() }.
export function chart({ title, series, format, top = 0, fixed = null }) {
  const box = el("div", { class: "plot" });
  const words = el("figcaption", {});
  const node = el("figure", { class: "chart", role: "group", "aria-label": title }, el("h3", {}, title), box, words);
  let plot = null;
  let data = null;

  function make() {
    plot?.destroy();
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--quiet"), grid, ticks: grid, font: "11px system-ui, sans-serif" };
    plot = new globalThis.uPlot(
      {
        width: Math.max(box.clientWidth, 200),
        height: HEIGHT,
        legend: { live: false, show: series.length > 1 },
        cursor: { y: false, points: { size: 6 } },
        scales: { y: { range: (_, low, high) => fixed ?? [Math.min(0, low ?? 0), Math.max(top, (high ?? 0) * 1.1)] } },
        axes: [
          { ...axis, values: (_, splits) => splits.map((at) => clock(at)), space: 70, incrs: SECONDS },
          { ...axis, size: 76, values: (_, splits) => splits.map((value) => format(value)) },
        ],
        series: [
          {},
          ...series.map((one) => ({
            label: one.label,
            stroke: colour(one.colour),
            width: 1.5,
            dash: one.dash,
            points: { show: () => data[0].length < 3, size: 5 },
          })),
        ],
      },
      data,
      box,
    );
  }

  const resize = new ResizeObserver(() => {
    if (plot && box.clientWidth > 0 && Math.abs(plot.width - box.clientWidth) > 1)
      plot.setSize({ width: box.clientWidth, height: HEIGHT });
  });
  resize.observe(box);
  const repaint = () => plot && make();
  dark.addEventListener("change", repaint);

  return {
    node,
    set(times, lists) {
      data = [times, ...lists];
      if (!plot) make();
      else plot.setData(data);
      setText(
        words,
        series
          .map((one, index) => {
            const numbers = lists[index].filter((value) => value !== null);
            if (numbers.length === 0) return `${one.label}: not measured yet`;
            return `${one.label}: now ${format(lists[index].at(-1))}, highest ${format(Math.max(...numbers))}`;
          })
          .join("; "),
      );
    },
    destroy() {
      resize.disconnect();
      dark.removeEventListener("change", repaint);
      plot?.destroy();
    },
  };
}
