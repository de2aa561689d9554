// How busy it is: message rates, calls and their latency, memory, executions.
import { SegmentedControl, Skeleton, Text, Title, useComputedColorScheme } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { isDenied, postJson } from "../api/client.ts";
import { Chart, seriesColor, short } from "../ui/chart.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { Columns, Panel } from "../ui/panel.tsx";
import classes from "./charts.module.css";

interface Series {
  name: string;
  points: [number, number][];
}

const CHARTS: { title: string; unit: string; series: [name: string, label: string][] }[] = [
  {
    title: "Messages per second",
    unit: "",
    series: [
      ["messages_in", "In"],
      ["messages_out", "Out"],
    ],
  },
  { title: "Connections", unit: "", series: [["connections", "Devices"]] },
  {
    title: "API calls per second",
    unit: "",
    series: [
      ["api_calls", "Calls"],
      ["api_errors", "Errors"],
    ],
  },
  { title: "API latency, median", unit: " ms", series: [["api_p50_ms", "Median"]] },
  { title: "Memory", unit: " MB", series: [["memory_mb", "Resident"]] },
  {
    title: "Flow executions",
    unit: "",
    series: [
      ["executions", "Started"],
      ["failures", "Failed"],
    ],
  },
];
const NAMES = CHARTS.flatMap((chart) => chart.series.map(([name]) => name));
const SPANS = [
  { value: "900", label: "15 min" },
  { value: "3600", label: "1 hour" },
  { value: "86400", label: "1 day" },
];

export function Charts() {
  const [span, setSpan] = useState("900");
  const seconds = Number(span);
  const answer = useQuery({
    queryKey: ["series", span],
    queryFn: async ({ signal }) => {
      const since = Date.now() / 1000 - seconds;
      const { series } = await postJson<{ series: Series[] }>("series", { names: NAMES, since }, signal);
      return new Map(series.map((one) => [one.name, one.points]));
    },
    // A day is 17,280 points a series: asked for rarely.
    refetchInterval: seconds > 3600 ? 60_000 : 5_000,
    placeholderData: (previous) => previous,
  });
  if (isDenied(answer.error)) return null;
  return (
    <Panel
      title="Activity"
      aside={<SegmentedControl size="xs" aria-label="Time span" value={span} onChange={setSpan} data={SPANS} />}
    >
      {answer.error && <ErrorPanel error={answer.error} retry={() => void answer.refetch()} />}
      {!(answer.error && answer.data === undefined) && (
        <Columns>
          {CHARTS.map((chart) => (
            <OneChart key={chart.title} chart={chart} points={answer.data} />
          ))}
        </Columns>
      )}
    </Panel>
  );
}

function OneChart({
  chart,
  points,
}: {
  chart: (typeof CHARTS)[number];
  points: Map<string, [number, number][]> | undefined;
}) {
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const series = chart.series.map(([name, label]) => ({ label, points: points?.get(name) ?? [] }));
  const empty = points !== undefined && series.every((one) => one.points.length === 0);
  return (
    <div className={classes.chart}>
      <div className={classes.head}>
        <Title order={3}>{chart.title}</Title>
        <div className={classes.legend}>
          {series.map((one, index) => (
            <span key={one.label} className={classes.key}>
              <svg width="8" height="8" aria-hidden="true">
                <circle cx="4" cy="4" r="4" fill={seriesColor(index, scheme)} />
              </svg>
              {one.label}{" "}
              <b className="tabular">
                {one.points.length > 0 ? `${short(one.points.at(-1)?.[1] ?? 0)}${chart.unit}` : "–"}
              </b>
            </span>
          ))}
        </div>
      </div>
      {points === undefined ? (
        <Skeleton h={160} />
      ) : empty ? (
        <Text size="sm" c="dimmed" className={classes.nothing}>
          Nothing was measured yet.
        </Text>
      ) : (
        <Chart series={series} label={chart.title} unit={chart.unit} />
      )}
    </div>
  );
}
