// What the inspectors say first of a whole document: its name, its urn, its description.
import { Text } from "@mantine/core";

export function DocumentTitle({
  name,
  urn,
  description,
}: {
  name: string;
  urn: string | null;
  description?: string | null;
}) {
  return (
    <div>
      <Text fw={600} size="md" className="breakable">
        {name}
      </Text>
      <Text size="xs" c="dimmed" className="breakable">
        {urn}
      </Text>
      {description && (
        <Text size="sm" mt={4}>
          {description}
        </Text>
      )}
    </div>
  );
}
