// One certificate: whose it is, what it lets in, how long it lives; take it out of use.
import { Button, Group, Skeleton, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { call, useAction, useCall } from "../api/call.ts";
import { useMay } from "../api/may.tsx";
import { CodeBlock, Copyable } from "../ui/code-block.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { Facts } from "../ui/facts.tsx";
import { absolute, prettyJson } from "../ui/format.ts";
import { ButtonLink, TextLink, useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { Panel } from "../ui/panel.tsx";
import { StatusBadge } from "../ui/status-badge.tsx";
import { When } from "../ui/when.tsx";
import type { CertificateDetail } from "./certificate-life.ts";
import { End } from "./certificates.tsx";

export function CertificatePage() {
  const id = useParam("id") ?? "";
  const certificate = useCall<{ certificateDescription: CertificateDetail }>("iot", "DescribeCertificate", {
    certificateId: id,
  });
  const found = certificate.data?.certificateDescription;
  const mayAsk = useMay("iam:SimulatePrincipalPolicy");
  return (
    <Page
      title={`${id.slice(0, 16)}…`}
      parent={{ label: "Certificates", to: "/certificates" }}
      aside={found && <StatusBadge state={found.status} />}
      actions={
        found && (
          <>
            {mayAsk && (
              <ButtonLink to="/access" search={{ principal: found.certificateArn }} variant="default">
                What it may do
              </ButtonLink>
            )}
            <ChangeStatus certificate={found} />
          </>
        )
      }
    >
      {certificate.error && <ErrorPanel error={certificate.error} retry={() => void certificate.refetch()} />}
      {certificate.isPending && <Skeleton h={180} />}
      {found && <About certificate={found} />}
    </Page>
  );
}

function About({ certificate }: { certificate: CertificateDetail }) {
  const arn = certificate.certificateArn;
  const things = useCall<{ things: string[] }>("iot", "ListPrincipalThings", { principal: arn });
  const policies = useCall<{ policies: { policyName: string }[] }>("iot", "ListAttachedPolicies", { target: arn });
  const end = certificate.validity?.notAfter;
  return (
    <>
      <Panel>
        <Facts
          items={[
            ["Ends", <End key="end" certificate={certificate} now={Date.now() / 1000} />],
            ["Ends on", end === undefined ? undefined : absolute(end)],
            ["Made", <When key="made" at={certificate.creationDate} />],
            [
              "Things",
              <Group key="things" gap={8}>
                {things.data?.things.map((thing) => (
                  <TextLink key={thing} to="/thing" search={{ name: thing }}>
                    {thing}
                  </TextLink>
                ))}
                {things.data?.things.length === 0 && "None"}
              </Group>,
            ],
            [
              "Issued by",
              certificate.caCertificateId ? `${certificate.caCertificateId.slice(0, 16)}…` : "This installation",
            ],
            ["Id", <Copyable key="id" text={certificate.certificateId} label="the id" />, "wide"],
          ]}
        />
      </Panel>
      {policies.data?.policies.length === 0 && (
        <Panel title="Policies">
          <Text size="sm" c="dimmed">
            None. Unknown means no: whoever holds this certificate can do nothing.
          </Text>
        </Panel>
      )}
      {policies.data?.policies.map((policy) => (
        <Policy key={policy.policyName} name={policy.policyName} />
      ))}
    </>
  );
}

function Policy({ name }: { name: string }) {
  const policy = useCall<{ policyDocument: string }>("iot", "GetPolicy", { policyName: name });
  return (
    <Panel title={`Policy ${name}`}>
      {policy.error && <ErrorPanel error={policy.error} />}
      {policy.isPending && <Skeleton h={120} />}
      {policy.data && <CodeBlock text={prettyJson(policy.data.policyDocument)} label={`the policy ${name}`} />}
    </Panel>
  );
}

function ChangeStatus({ certificate }: { certificate: CertificateDetail }) {
  const [opened, dialog] = useDisclosure(false);
  const allowed = useMay("iot:UpdateCertificate");
  const next = certificate.status === "ACTIVE" ? "INACTIVE" : "ACTIVE";
  const change = useAction({
    run: (newStatus: string) =>
      call("iot", "UpdateCertificate", { certificateId: certificate.certificateId, newStatus }),
    done: (_, status) =>
      status === "ACTIVE" ? "The certificate is active." : "The certificate lets nobody in any more.",
    refresh: [["iot"]],
    onDone: dialog.close,
  });
  if (!allowed || certificate.status === "REVOKED") return null;
  if (next === "ACTIVE") {
    return (
      <Button loading={change.isPending} onClick={() => change.mutate("ACTIVE")}>
        Activate
      </Button>
    );
  }
  return (
    <>
      <Button color="red" variant="light" onClick={dialog.open}>
        Deactivate
      </Button>
      <Confirm
        opened={opened}
        onClose={dialog.close}
        onConfirm={() => change.mutate("INACTIVE")}
        busy={change.isPending}
        title="Deactivate this certificate?"
        verb="Deactivate"
      >
        Whoever holds it is disconnected and cannot come back until it is active again.
      </Confirm>
    </>
  );
}
