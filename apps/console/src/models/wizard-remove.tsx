// The button that takes a row of the wizard away.
import { ActionIcon, Tooltip } from "@mantine/core";
import { Trash2 } from "lucide-react";

export function RemoveRow({ label, onClick }: { label: string; onClick: () => void }) {
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color="gray" mb={1} aria-label={label} onClick={onClick}>
        <Trash2 size={15} aria-hidden />
      </ActionIcon>
    </Tooltip>
  );
}
