// The devices that may connect to a core, and at which addresses it is found.
import { ActionIcon, Text } from "@mantine/core";
import { Unplug, X } from "lucide-react";
import { call, useAction, useCall, usePages } from "../api/call.ts";
import { ApiError } from "../api/client.ts";
import { May, useMay } from "../api/may.tsx";
import { DataTable } from "../ui/data-table.tsx";
import { Empty } from "../ui/empty.tsx";
import { TextLink } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { When } from "../ui/when.tsx";
import { NameThing } from "./name-thing.tsx";
import type { ClientDevice } from "./types.ts";

interface Connectivity {
  connectivityInfo?: { id?: string; hostAddress?: string; portNumber?: number }[];
}

const LIST = ["greengrassv2", "ListClientDevicesAssociatedWithCoreDevice"];

export function ClientDevices({ core }: { core: string }) {
  const mayRemove = useMay("greengrass:BatchDisassociateClientDeviceFromCoreDevice");
  const clients = usePages<{ associatedClientDevices: ClientDevice[] }, ClientDevice>(
    "greengrassv2",
    "ListClientDevicesAssociatedWithCoreDevice",
    { coreDeviceThingName: core },
    { items: (output) => output.associatedClientDevices },
  );
  const connectivity = useCall<Connectivity>("greengrassv2", "GetConnectivityInfo", { thingName: core });
  const remove = useAction({
    run: (thingName: string) => change("BatchDisassociateClientDeviceFromCoreDevice", core, thingName),
    done: (_, thing) => `${thing} may no longer connect to ${core}.`,
    refresh: [LIST],
  });
  const addresses = connectivity.data?.connectivityInfo ?? [];
  return (
    <Panel
      title="Client devices"
      flush
      aside={
        <Text size="xs" c="dimmed">
          {addresses.length > 0
            ? `Found at ${addresses.map((one) => `${one.hostAddress}:${one.portNumber ?? 8883}`).join(", ")}`
            : "The core has reported no address for discovery"}
        </Text>
      }
    >
      <May action="greengrass:BatchAssociateClientDeviceWithCoreDevice">
        <NameThing
          label="Thing to associate"
          verb="Associate"
          run={(thing) => change("BatchAssociateClientDeviceWithCoreDevice", core, thing)}
          done={(thing) => `${thing} may connect to ${core}.`}
          refresh={[LIST]}
        />
      </May>
      <DataTable
        label="client devices"
        rows={clients.items}
        rowKey={(one) => one.thingName}
        source={clients}
        columns={[
          {
            key: "name",
            header: "Thing",
            cell: (one) => (
              <TextLink to="/thing" search={{ name: one.thingName }}>
                {one.thingName}
              </TextLink>
            ),
          },
          { key: "since", header: "Associated", width: 160, cell: (one) => <When at={one.associationTimestamp} /> },
          {
            key: "remove",
            header: "",
            width: 60,
            cell: (one) =>
              mayRemove ? (
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label={`Remove ${one.thingName}`}
                  loading={remove.isPending && remove.variables === one.thingName}
                  onClick={() => remove.mutate(one.thingName)}
                >
                  <X size={16} aria-hidden />
                </ActionIcon>
              ) : null,
          },
        ]}
        empty={
          <Empty icon={Unplug} title="No client device">
            Devices near a core talk to it over the local network and keep talking when the line is down. Associate
            their things with the core to let them in.
          </Empty>
        }
      />
    </Panel>
  );
}

/** The batch operations answer 200 with what failed in a list. */
async function change(operation: string, core: string, thingName: string): Promise<void> {
  const output = await call<{ errorEntries?: { code?: string; message?: string }[] }>("greengrassv2", operation, {
    coreDeviceThingName: core,
    entries: [{ thingName }],
  });
  const failed = output.errorEntries?.[0];
  if (failed) throw new ApiError(400, failed.code ?? "Failed", failed.message ?? "the server refused");
}
