// Words and icons of the kinds of entities.
import { ArrowLeftRight, Box, Braces, Cloud, Cpu, List, Play, Puzzle, Tag, Zap } from "lucide-react";
import type { ComponentType } from "react";
import type { Metatype } from "./urn.ts";

export const METATYPE_WORDS: Partial<Record<Metatype, { one: string; many: string }>> = {
  DeviceModel: { one: "device model", many: "Device models" },
  Device: { one: "device", many: "Devices" },
  Service: { one: "service", many: "Services" },
  Capability: { one: "capability", many: "Capabilities" },
  State: { one: "state", many: "States" },
  Event: { one: "event", many: "Events" },
  Action: { one: "action", many: "Actions" },
  Property: { one: "property", many: "Properties" },
  Enum: { one: "enum", many: "Enums" },
  Mapping: { one: "mapping", many: "Mappings" },
};

const ICONS: Partial<Record<Metatype, ComponentType<{ size?: number | string; "aria-hidden"?: boolean }>>> = {
  DeviceModel: Box,
  Device: Cpu,
  Service: Cloud,
  Capability: Puzzle,
  State: Braces,
  Event: Zap,
  Action: Play,
  Property: Tag,
  Enum: List,
  Mapping: ArrowLeftRight,
};

export function MetatypeIcon({ metatype, size = 18 }: { metatype: Metatype; size?: number }) {
  const Icon = ICONS[metatype] ?? Box;
  return <Icon size={size} aria-hidden />;
}
