// Write or upload entities: the text with its diagnostics, what it would change, and the upload with its progress.
import { Badge, Button, FileButton, Group, Skeleton, Stack, Tabs, Text } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { FileUp, Upload, WrapText } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { useAction } from "../api/call.ts";
import { useMay } from "../api/may.tsx";
import { ProblemsPanel } from "../designer/problems-panel.tsx";
import { check, format } from "../tdm-editor/service.ts";
import { TdmEditor, type TdmEditorHandle } from "../tdm-editor/tdm-editor.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { useParam } from "../ui/link.tsx";
import { Page } from "../ui/page.tsx";
import { NAMESPACE_KEY, storedDefinitions, type UploadStatus, upload } from "./api.ts";
import { compare, type EntityChange } from "./diff.ts";
import { DiffView } from "./diff-view.tsx";
import classes from "./edit-page.module.css";
import { entities } from "./entity.ts";
import { LIBRARY_KEY } from "./library.ts";
import { UploadProgress } from "./upload-progress.tsx";
import { urnKey } from "./urn.ts";

/** Documents larger than this are refused by the language service. */
const MAX_BYTES = 1_000_000;
const DRAFT = "marram-model-draft";

export function EditPage() {
  const id = useParam("id");
  const stored = useQuery({
    queryKey: [...LIBRARY_KEY, "definition", id ?? ""],
    queryFn: ({ signal }) => storedDefinitions([id ?? ""], signal),
    enabled: id !== undefined,
  });
  const [handed] = useState(() => takeDraft());
  const parent = { label: "Models", to: "/models" };
  if (id !== undefined && !stored.isSuccess) {
    return (
      <Page title="Edit a model" parent={parent}>
        {stored.isError ? (
          <ErrorPanel error={stored.error} retry={() => void stored.refetch()} />
        ) : (
          <Skeleton h={380} />
        )}
      </Page>
    );
  }
  return <Edit initial={handed ?? (id ? `${stored.data?.get(urnKey(id)) ?? ""}\n` : "")} editing={id !== undefined} />;
}

/** Hands a text to this page from another one. */
export function leaveDraft(text: string): void {
  sessionStorage.setItem(DRAFT, text);
}

function takeDraft(): string | null {
  const text = sessionStorage.getItem(DRAFT);
  sessionStorage.removeItem(DRAFT);
  return text;
}

function Edit({ initial, editing }: { initial: string; editing: boolean }) {
  const queries = useQueryClient();
  const mayUpload = useMay("iotthingsgraph:UploadEntityDefinitions");
  const editor = useRef<TdmEditorHandle>(null);
  const [text, setText] = useState(initial);
  const [asked] = useDebouncedValue(text, 300);
  const [status, setStatus] = useState<UploadStatus | null>(null);
  const checked = useQuery({
    queryKey: ["tdm-check", asked],
    queryFn: ({ signal }) => check(asked, signal),
    enabled: asked.trim() !== "",
    gcTime: 0,
    placeholderData: (before) => before,
  });
  const diagnostics = asked.trim() === "" ? [] : (checked.data ?? []);
  const ids = useMemo(() => entities(asked).map((one) => one.id), [asked]);
  const stored = useQuery({
    queryKey: [...LIBRARY_KEY, "stored", ...ids],
    queryFn: ({ signal }) => storedDefinitions(ids, signal),
    enabled: ids.length > 0,
    placeholderData: (before) => before,
  });
  const changes = useMemo(() => (stored.data ? compare(asked, stored.data) : []), [asked, stored.data]);
  const errors = diagnostics.filter((found) => found.severity === "error").length;
  const send = useAction<void, UploadStatus>({
    run: () => {
      setStatus(null);
      return upload({ text }, setStatus);
    },
    quiet: true,
    onDone: (result) => {
      if (result.uploadStatus !== "SUCCEEDED") return;
      void queries.invalidateQueries({ queryKey: NAMESPACE_KEY });
      void queries.invalidateQueries({ queryKey: LIBRARY_KEY });
    },
  });
  useEffect(() => {
    if (text !== asked) setStatus(null);
  }, [text, asked]);
  const open = async (file: File | null) => {
    if (!file) return;
    if (file.size > MAX_BYTES) {
      notifications.show({
        color: "red",
        title: "This file is too large",
        message: "A document may have one megabyte. Split it: entities are added one upload at a time.",
      });
      return;
    }
    setText(await file.text());
  };
  const reformat = async () => {
    try {
      setText(await format(text));
    } catch (failure) {
      notifications.show({
        color: "red",
        title: "This text cannot be formatted",
        message: failure instanceof Error ? failure.message : String(failure),
      });
    }
  };
  const counts = { new: 0, changed: 0, reformatted: 0, same: 0 };
  for (const one of changes) counts[one.change] += 1;
  return (
    <Page
      title={editing ? "Edit a model" : "Write or upload models"}
      parent={{ label: "Models", to: "/models" }}
      description="Entities in the Things Graph language. Nothing changes before you upload, and an upload changes everything or nothing."
      actions={
        <>
          <FileButton onChange={(file) => void open(file)} accept=".tdm,.graphql,.gql,.txt">
            {(props) => (
              <Button {...props} variant="default" leftSection={<FileUp size={15} aria-hidden />}>
                Open a file
              </Button>
            )}
          </FileButton>
          <Button
            variant="default"
            leftSection={<WrapText size={15} aria-hidden />}
            disabled={text.trim() === ""}
            onClick={() => void reformat()}
          >
            Format
          </Button>
          <Button
            leftSection={<Upload size={15} aria-hidden />}
            disabled={!mayUpload || errors > 0 || changes.length === 0 || text !== asked}
            loading={send.isPending}
            onClick={() => send.mutate()}
          >
            Upload
          </Button>
        </>
      }
    >
      <UploadProgress status={status} running={send.isPending} error={send.error} />
      <div className={classes.editor}>
        <TdmEditor
          value={text}
          label="Entities"
          handle={editor}
          diagnostics={diagnostics}
          onChange={setText}
          onSave={() => errors === 0 && changes.length > 0 && send.mutate()}
        />
      </div>
      <Tabs defaultValue="changes">
        <Tabs.List>
          <Tabs.Tab value="changes">
            Changes{" "}
            {changes.length > 0 && (
              <Badge size="xs" color="grass">
                {counts.new + counts.changed}
              </Badge>
            )}
          </Tabs.Tab>
          <Tabs.Tab value="problems">
            Problems{" "}
            {diagnostics.length > 0 && (
              <Badge size="xs" color={errors > 0 ? "red" : "yellow"}>
                {diagnostics.length}
              </Badge>
            )}
          </Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="changes" pt="sm">
          <Changes changes={changes} counts={counts} empty={text.trim() === ""} />
        </Tabs.Panel>
        <Tabs.Panel value="problems" pt="sm">
          {checked.isError ? (
            <ErrorPanel error={checked.error} retry={() => void checked.refetch()} />
          ) : (
            <ProblemsPanel
              diagnostics={diagnostics}
              where={() => null}
              onGo={(index) => {
                const found = diagnostics[index];
                if (found) editor.current?.reveal(found.from, found.to);
              }}
              onFix={({ fix }) =>
                fix && text === asked && setText(text.slice(0, fix.from) + fix.text + text.slice(fix.to))
              }
            />
          )}
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}

const COLOURS = { new: "grass", changed: "yellow", reformatted: "gray", same: "gray" } as const;

function Changes({
  changes,
  counts,
  empty,
}: {
  changes: readonly EntityChange[];
  counts: Record<EntityChange["change"], number>;
  empty: boolean;
}) {
  const [open, setOpen] = useState<string | null>(null);
  if (changes.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        {empty
          ? "Type or paste definitions, or open a file. What an upload would change is listed here."
          : "The text defines no entity yet."}
      </Text>
    );
  }
  return (
    <Stack gap={6}>
      <Text size="sm" c="dimmed">
        {[
          counts.new && `${counts.new} new`,
          counts.changed && `${counts.changed} changed`,
          counts.reformatted && `${counts.reformatted} only written differently`,
          counts.same && `${counts.same} the same`,
        ]
          .filter(Boolean)
          .join(", ")}
        {counts.changed > 0 && ". A changed entity makes a new version of the namespace; deployed flows keep theirs."}
      </Text>
      {changes.map((one) => (
        <div key={one.id} className={classes.change}>
          <Group gap="sm" wrap="nowrap">
            <Badge color={COLOURS[one.change]} w={100}>
              {one.change}
            </Badge>
            <Text size="sm" className="breakable" flex={1}>
              {one.id}
            </Text>
            {(one.change === "changed" || one.change === "reformatted") && (
              <Button
                size="compact-xs"
                variant="subtle"
                aria-expanded={open === one.id}
                onClick={() => setOpen(open === one.id ? null : one.id)}
              >
                {open === one.id ? "Hide" : "Compare"}
              </Button>
            )}
          </Group>
          {open === one.id && <DiffView before={one.before} after={one.after} />}
        </div>
      ))}
    </Stack>
  );
}
