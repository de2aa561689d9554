// Certificates by the day they end.
import { Progress, SegmentedControl, Text } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { BadgeCheck } from "lucide-react";
import { useEffect } from "react";
import { call, usePages } from "../api/call.ts";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { TextLink, useParam, useSetParams } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { When } from "../ui/when.tsx";
import { byExpiry, type CertificateDetail, type CertificateSummary, life } from "./certificate-life.ts";

/** The list does not tell when certificates end, so each is read; from here on only on demand. */
const READ_AT_ONCE = 1_000;

export function CertificatesPage() {
  const show = useParam("show") ?? "active";
  const setParams = useSetParams();
  const list = usePages<{ certificates: CertificateSummary[] }, CertificateSummary>(
    "iot",
    "ListCertificates",
    { pageSize: 250, ascendingOrder: true },
    { items: (output) => output.certificates, tokenIn: "marker", tokenOut: "nextMarker" },
  );
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  const more = hasNextPage && list.items.length < READ_AT_ONCE;
  useEffect(() => {
    if (more && !isFetchingNextPage) void fetchNextPage();
  }, [more, isFetchingNextPage, fetchNextPage]);
  const wanted = list.items.filter((one) => show === "all" || one.status === "ACTIVE");
  const details = useQueries({
    queries: wanted.map((one) => ({
      queryKey: ["iot", "DescribeCertificate", { certificateId: one.certificateId }],
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const output = await call<{ certificateDescription: CertificateDetail }>(
          "iot",
          "DescribeCertificate",
          { certificateId: one.certificateId },
          signal,
        );
        return output;
      },
      staleTime: 60_000,
    })),
  });
  const read = details.filter((one) => one.data !== undefined || one.isError).length;
  const now = Date.now() / 1000;
  const rows = wanted
    .map((one, index) => details[index]?.data?.certificateDescription ?? one)
    .sort(byExpiry) as CertificateDetail[];
  const soon = rows.filter(
    (one) => one.status === "ACTIVE" && ["EXPIRED", "EXPIRES_SOON"].includes(life(one, now)),
  ).length;

  return (
    <Page
      title="Certificates"
      description="What devices and gateways prove themselves with, those that end first on top."
    >
      <Panel
        flush
        aside={
          <>
            {soon > 0 && <StatusBadge state={`${soon} to renew`} look="EXPIRES_SOON" />}
            <SegmentedControl
              size="xs"
              aria-label="Which certificates"
              value={show}
              onChange={(value) => setParams({ show: value === "active" ? undefined : value })}
              data={[
                { value: "active", label: "Active" },
                { value: "all", label: "All" },
              ]}
            />
          </>
        }
      >
        {read < wanted.length && (
          <Progress value={(100 * read) / wanted.length} size={3} radius={0} aria-label="Reading certificates" />
        )}
        <DataTable
          label="certificates"
          rows={rows}
          rowKey={(one) => one.certificateId}
          source={list}
          columns={[
            {
              key: "id",
              header: "Certificate",
              cell: (one) => (
                <TextLink to="/certificate" search={{ id: one.certificateId }} ff="monospace" title={one.certificateId}>
                  {one.certificateId.slice(0, 16)}…
                </TextLink>
              ),
            },
            { key: "status", header: "Status", width: 130, cell: (one) => <StatusBadge state={one.status} /> },
            { key: "end", header: "Ends", width: 220, cell: (one) => <End certificate={one} now={now} /> },
            { key: "made", header: "Made", width: 150, wide: true, cell: (one) => <When at={one.creationDate} /> },
          ]}
          empty={
            <Empty icon={BadgeCheck} title={show === "all" ? "No certificate yet" : "No active certificate"}>
              A core gets one when it is added; devices get theirs by provisioning or with CreateCertificateFromCsr.
            </Empty>
          }
        />
      </Panel>
    </Page>
  );
}

export function End({ certificate, now }: { certificate: CertificateDetail; now: number }) {
  const state = life(certificate, now);
  if (state === "UNKNOWN") return <Text size="sm">–</Text>;
  const when = <When at={certificate.validity?.notAfter} />;
  if (certificate.status !== "ACTIVE" || state === "VALID") return when;
  return (
    <>
      <StatusBadge state={state === "EXPIRED" ? "Expired" : "Soon"} look={state} /> {when}
    </>
  );
}
