// The table of the console: loading rows of the right height, an empty state, errors, further pages, virtual rows when long.
import { Button, Skeleton } from "@mantine/core";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useLayoutEffect, useRef, useState } from "react";
import classes from "./data-table.module.css";
import { ErrorPanel } from "./error-panel.tsx";

export interface Column<Row> {
  key: string;
  header: ReactNode;
  cell: (row: Row) => ReactNode;
  /** A CSS width, for the columns that should not grow. */
  width?: number;
  numeric?: boolean;
  /** Left out on a phone. */
  wide?: boolean;
}

/** What a query of `usePages` (or `useCall`) offers to a table. */
export interface TableSource {
  isPending: boolean;
  error: unknown;
  refetch: () => unknown;
  isRefetching?: boolean;
  hasNextPage?: boolean;
  isFetchingNextPage?: boolean;
  fetchNextPage?: () => unknown;
}

interface DataTableProps<Row> {
  /** What the rows are, for assistive technology. */
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string;
  source: TableSource;
  empty: ReactNode;
  loadingRows?: number;
}

const ROW_HEIGHT = 41;
/** From here on only rows near the window are in the page. */
const VIRTUAL_FROM = 150;

export function DataTable<Row>(props: DataTableProps<Row>) {
  const { columns, rows, source, label } = props;
  if (source.error && rows.length === 0) {
    return (
      <div className={classes.pad}>
        <ErrorPanel error={source.error} retry={() => void source.refetch()} retrying={source.isRefetching ?? false} />
      </div>
    );
  }
  if (!source.isPending && rows.length === 0) return <>{props.empty}</>;
  const loading = source.isPending ? (props.loadingRows ?? 6) : 0;
  return (
    <>
      <div className={classes.scroll} tabIndex={0} role="region" aria-label={`Table of ${label}`}>
        <table
          role="table"
          className={classes.table}
          aria-label={label}
          aria-busy={source.isPending}
          aria-rowcount={source.hasNextPage ? -1 : rows.length + 1}
        >
          <thead role="rowgroup">
            <tr role="row">
              {columns.map((column) => (
                <th
                  role="columnheader"
                  key={column.key}
                  scope="col"
                  data-wide={column.wide || undefined}
                  data-numeric={column.numeric || undefined}
                  style={{ width: column.width }}
                >
                  {column.header}
                </th>
              ))}
            </tr>
          </thead>
          {loading > 0 ? (
            <tbody role="rowgroup">
              {Array.from({ length: loading }, (_, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: rows without a name yet
                <tr key={index}>
                  {columns.map((column) => (
                    <td key={column.key} data-wide={column.wide || undefined}>
                      <Skeleton h={12} w={index % 2 ? "55%" : "70%"} />
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          ) : rows.length > VIRTUAL_FROM ? (
            <VirtualBody {...props} />
          ) : (
            <tbody role="rowgroup">
              {rows.map((row) => (
                <TableRow key={props.rowKey(row)} row={row} columns={columns} />
              ))}
            </tbody>
          )}
        </table>
      </div>
      {source.hasNextPage && (
        <div className={classes.more}>
          <span className="tabular">{rows.length.toLocaleString()} shown</span>
          <Button
            size="xs"
            variant="default"
            loading={source.isFetchingNextPage ?? false}
            onClick={() => source.fetchNextPage?.()}
          >
            Load more
          </Button>
        </div>
      )}
    </>
  );
}

interface TableRowProps<Row> {
  row: Row;
  columns: Column<Row>[];
  /** Of a virtual row, whose height is measured. */
  index?: number;
  measure?: (row: HTMLTableRowElement | null) => void;
}

function TableRow<Row>({ row, columns, index, measure }: TableRowProps<Row>) {
  return (
    <tr role="row" ref={measure} data-index={index}>
      {columns.map((column) => (
        <td
          key={column.key}
          role="cell"
          data-wide={column.wide || undefined}
          data-numeric={column.numeric || undefined}
        >
          {column.cell(row)}
        </td>
      ))}
    </tr>
  );
}

/** Rows near the window, between two spacers; asks for the next page when its end comes near. */
function VirtualBody<Row>({ rows, columns, rowKey, source }: DataTableProps<Row>) {
  const body = useRef<HTMLTableSectionElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    const place = () => setTop((body.current?.getBoundingClientRect().top ?? 0) + window.scrollY);
    place();
    window.addEventListener("resize", place);
    return () => window.removeEventListener("resize", place);
  }, []);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => ROW_HEIGHT,
    overscan: 24,
    scrollMargin: top,
  });
  const visible = virtual.getVirtualItems();
  const first = visible[0];
  const last = visible[visible.length - 1];
  const above = first ? first.start - top : 0;
  const below = last ? virtual.getTotalSize() - (last.end - top) : 0;
  const near = last !== undefined && last.index >= rows.length - 50;
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = source;
  useLayoutEffect(() => {
    if (near && hasNextPage && !isFetchingNextPage) fetchNextPage?.();
  }, [near, hasNextPage, isFetchingNextPage, fetchNextPage]);
  return (
    <tbody ref={body} role="rowgroup">
      {above > 0 && (
        <tr aria-hidden>
          <td colSpan={columns.length} style={{ height: above, padding: 0, border: 0 }} />
        </tr>
      )}
      {visible.map((item) => {
        const row = rows[item.index];
        return row === undefined ? null : (
          <TableRow key={rowKey(row)} row={row} columns={columns} index={item.index} measure={virtual.measureElement} />
        );
      })}
      {below > 0 && (
        <tr aria-hidden>
          <td colSpan={columns.length} style={{ height: below, padding: 0, border: 0 }} />
        </tr>
      )}
    </tbody>
  );
}
