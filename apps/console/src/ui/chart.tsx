// A time series chart (uPlot), in the colours of the page, drawn anew when they or the size change.
import "uplot/dist/uPlot.min.css";
import { useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useRef } from "react";
import uPlot from "uplot";

export interface ChartSeries {
  label: string;
  /** `[epoch seconds, value]`, ascending. */
  points: [number, number][];
}

const LIGHT = ["#0b6e5b", "#b7791f", "#3b6fb6", "#a3406b"];
const DARK = ["#53ba9b", "#e0b04c", "#7aa8e6", "#dd86ad"];
const HEIGHT = 160;

/** All series are told at the same moments: one column of times, one of values per series. */
export function columns(series: ChartSeries[]): (number | null)[][] {
  const times = [...new Set(series.flatMap((one) => one.points.map(([time]) => time)))].sort((a, b) => a - b);
  const values = series.map((one) => {
    const byTime = new Map(one.points);
    return times.map((time) => byTime.get(time) ?? null);
  });
  return [times, ...values];
}

export function Chart({ series, label, unit = "" }: { series: ChartSeries[]; label: string; unit?: string }) {
  const { ref, width } = useElementSize();
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const labels = series.map((one) => one.label).join("\n");

  // biome-ignore lint/correctness/useExhaustiveDependencies: new points are set below without drawing the frame anew
  useEffect(() => {
    if (holder.current === null || width === 0) return;
    const dark = scheme === "dark";
    const ink = dark ? "#a0aaa7" : "#5c6764";
    const grid = { stroke: dark ? "#29312f" : "#e9edeb", width: 1 };
    const axis = { stroke: ink, grid, ticks: { show: false }, font: "11px system-ui", gap: 6 };
    const options: uPlot.Options = {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max((high ?? 0) * 1.15, 1)] } },
      axes: [
        { ...axis, size: 26, space: 70, values: (_, splits) => splits.map(clock) },
        { ...axis, size: 52, space: 34, values: (_, splits) => splits.map((value) => `${short(value)}${unit}`) },
      ],
      series: [
        {},
        ...labels.split("\n").map((name, index) => ({
          label: name,
          stroke: (dark ? DARK : LIGHT)[index % LIGHT.length] ?? ink,
          width: 1.6,
          fill: index === 0 ? `${(dark ? DARK : LIGHT)[0]}22` : undefined,
          points: { show: false },
        })),
      ] as uPlot.Series[],
    };
    plot.current = new uPlot(options, columns(series) as unknown as uPlot.AlignedData, holder.current);
    return () => {
      plot.current?.destroy();
      plot.current = null;
    };
  }, [width, scheme, labels, unit]);

  useEffect(() => {
    plot.current?.setData(columns(series) as unknown as uPlot.AlignedData);
  }, [series]);

  const latest = series.map((one) => {
    const value = one.points.at(-1)?.[1];
    return `${one.label} ${value === undefined ? "unknown" : `${short(value)}${unit}`}`;
  });
  return (
    <div ref={ref} role="img" aria-label={`${label}: now ${latest.join(", ")}`}>
      <div ref={holder} style={{ height: HEIGHT }} />
    </div>
  );
}

/** Hour and minute; midnight as the day that begins. */
function clock(seconds: number): string {
  const moment = new Date(seconds * 1000);
  const time = `${String(moment.getHours()).padStart(2, "0")}:${String(moment.getMinutes()).padStart(2, "0")}`;
  return time === "00:00" ? moment.toLocaleDateString(undefined, { day: "numeric", month: "short" }) : time;
}

/** At most three digits that say something. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${trim(value / 1e6)}M`;
  if (size >= 1e4) return `${trim(value / 1e3)}k`;
  return trim(value);
}

function trim(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

export function seriesColor(index: number, scheme: "light" | "dark"): string {
  return (scheme === "dark" ? DARK : LIGHT)[index % LIGHT.length] ?? "currentColor";
}
