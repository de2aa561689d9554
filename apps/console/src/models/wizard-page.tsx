// Make a device model: a form on the left, the text it writes on the right.
import { Alert, Button, Group, SegmentedControl, Stack, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { FileCode2, Plus, Upload } from "lucide-react";
import { type ReactNode, useMemo, useState } from "react";
import { useAction } from "../api/call.ts";
import { useSession } from "../api/session.ts";
import { check } from "../tdm-editor/service.ts";
import { TdmEditor } from "../tdm-editor/tdm-editor.tsx";
import { useGo } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { NAMESPACE_KEY, type UploadStatus, upload } from "./api.ts";
import { leaveDraft } from "./edit-page.tsx";
import { LIBRARY_KEY } from "./library.ts";
import { UploadProgress } from "./upload-progress.tsx";
import { makeUrn, privateNamespace, toName } from "./urn.ts";
import { emptyForm, formProblems, type ModelForm, writeModel } from "./wizard.ts";
import classes from "./wizard-page.module.css";
import { ActionRows, EventRows, FieldRows } from "./wizard-rows.tsx";

export function WizardPage() {
  const session = useSession();
  const queries = useQueryClient();
  const go = useGo();
  const [form, setForm] = useState<ModelForm>(() => emptyForm(privateNamespace(session.region, session.account)));
  const [status, setStatus] = useState<UploadStatus | null>(null);
  const change = (part: Partial<ModelForm>) => setForm((before) => ({ ...before, ...part }));
  const problems = useMemo(() => formProblems(form), [form]);
  const started = form.name !== "" || form.fields.length + form.actions.length + form.events.length > 0;
  const text = useMemo(() => (toName(form.name) === "" ? "" : writeModel(form)), [form]);
  const [asked] = useDebouncedValue(text, 300);
  const checked = useQuery({
    queryKey: ["tdm-check", asked],
    queryFn: ({ signal }) => check(asked, signal),
    enabled: asked !== "" && problems.length === 0,
    gcTime: 0,
  });
  const diagnostics = problems.length === 0 && text === asked ? (checked.data ?? []) : [];
  const errors = diagnostics.filter((found) => found.severity === "error");
  const send = useAction<void, UploadStatus>({
    run: () => upload({ text }, setStatus),
    quiet: true,
    onDone: (result) => {
      if (result.uploadStatus !== "SUCCEEDED") return;
      void queries.invalidateQueries({ queryKey: NAMESPACE_KEY });
      void queries.invalidateQueries({ queryKey: LIBRARY_KEY });
      go({ to: "/models/entity", search: { id: makeUrn(form.namespace, "DeviceModel", capital(toName(form.name))) } });
    },
  });
  return (
    <Page
      title="New device model"
      parent={{ label: "Models", to: "/models" }}
      description="Say what the device knows, tells and does. The text on the right is what is stored; continue with it by hand whenever the form is too small."
      actions={
        <>
          <Button
            variant="default"
            leftSection={<FileCode2 size={15} aria-hidden />}
            disabled={text === ""}
            onClick={() => {
              leaveDraft(text);
              go({ to: "/models/edit" });
            }}
          >
            Continue as text
          </Button>
          <Button
            leftSection={<Upload size={15} aria-hidden />}
            loading={send.isPending}
            disabled={problems.length > 0 || errors.length > 0 || text !== asked}
            onClick={() => send.mutate()}
          >
            Upload
          </Button>
        </>
      }
    >
      <UploadProgress status={status} running={send.isPending} error={send.error} />
      <div className={classes.columns}>
        <Stack gap="lg">
          <Group gap="sm" grow align="start">
            <TextInput
              label="Name"
              required
              placeholder="Garden pump"
              value={form.name}
              onChange={(event) => change({ name: event.currentTarget.value })}
            />
            <TextInput
              label="Description"
              placeholder="What is it?"
              value={form.description}
              onChange={(event) => change({ description: event.currentTarget.value })}
            />
          </Group>
          <Part
            title="It knows"
            hint="Fields of its state: readings and settings"
            add="Field"
            onAdd={() => change({ fields: [...form.fields, { name: "", type: "Float64", min: "", max: "" }] })}
          >
            <FieldRows rows={form.fields} onChange={(fields) => change({ fields })} />
          </Part>
          <Part
            title="It does"
            hint="Actions that a flow can call"
            add="Action"
            onAdd={() =>
              change({
                actions: [
                  ...form.actions,
                  {
                    name: "",
                    inputs: [],
                    returns: "nothing",
                    request: "",
                    response: "",
                    operation: "ReadHoldingRegisters",
                    address: "",
                  },
                ],
              })
            }
          >
            <ActionRows
              rows={form.actions}
              protocol={form.protocol}
              hasState={form.fields.length > 0}
              onChange={(actions) => change({ actions })}
            />
          </Part>
          {form.protocol !== "Modbus" && (
            <Part
              title="It tells"
              hint="Events that can start a flow"
              add="Event"
              onAdd={() =>
                change({
                  events: [...form.events, { name: "", payload: form.fields.length > 0 ? "state" : "Json", topic: "" }],
                })
              }
            >
              <EventRows
                rows={form.events}
                hasState={form.fields.length > 0}
                onChange={(events) => change({ events })}
              />
            </Part>
          )}
          <div>
            <Text fw={600} mb={4}>
              How to reach it
            </Text>
            <SegmentedControl
              aria-label="Protocol"
              value={form.protocol}
              onChange={(protocol) =>
                change({
                  protocol: protocol as ModelForm["protocol"],
                  ...(protocol === "Modbus" ? { events: [] } : {}),
                })
              }
              data={[
                { value: "MQTT", label: "MQTT" },
                { value: "Modbus", label: "Modbus" },
                { value: "none", label: "Model only" },
              ]}
            />
            {form.protocol !== "none" && (
              <Group gap="sm" mt="sm" align="start">
                <TextInput
                  label="Name of the device"
                  description="A model may have several makes"
                  placeholder={`${capital(toName(form.name)) || "Pump"}Device`}
                  value={form.device}
                  onChange={(event) => change({ device: event.currentTarget.value })}
                />
                {form.protocol === "Modbus" && (
                  <TextInput
                    label="Server id"
                    description="Unit on the bus"
                    w={120}
                    value={form.serverId}
                    onChange={(event) => change({ serverId: event.currentTarget.value })}
                  />
                )}
              </Group>
            )}
          </div>
        </Stack>
        <div className={classes.preview}>
          {started && problems.length > 0 && (
            <Alert color="yellow" variant="light" mb="sm" title="Still to do">
              <ul className={classes.todo}>
                {problems.slice(0, 6).map((problem) => (
                  <li key={problem}>{problem}</li>
                ))}
              </ul>
            </Alert>
          )}
          {errors.length > 0 && (
            <Alert color="red" variant="light" mb="sm" title="The server would refuse this">
              <ul className={classes.todo}>
                {errors.slice(0, 5).map((found) => (
                  <li key={`${found.code} ${found.from}`}>{found.message}</li>
                ))}
              </ul>
            </Alert>
          )}
          <div className={classes.text}>
            <TdmEditor
              value={text || "# Name the model: its text appears here."}
              label="The text the form writes"
              diagnostics={diagnostics}
              readOnly
            />
          </div>
        </div>
      </div>
    </Page>
  );
}

const capital = (name: string) => name.charAt(0).toUpperCase() + name.slice(1);

function Part(props: { title: string; hint: string; add: string; onAdd: () => void; children: ReactNode }) {
  return (
    <section aria-label={props.title}>
      <Group justify="space-between" mb={6}>
        <div>
          <Text fw={600}>{props.title}</Text>
          <Text size="xs" c="dimmed">
            {props.hint}
          </Text>
        </div>
        <Button size="xs" variant="default" leftSection={<Plus size={14} aria-hidden />} onClick={props.onAdd}>
          {props.add}
        </Button>
      </Group>
      {props.children}
    </section>
  );
}
