// The palette of each desk: the library, and flows and systems where they can be parts.
import { useMemo } from "react";
import type { Entity } from "../models/entity.ts";
import { type EntityType, useLibrary } from "../models/library.ts";
import { sameUrn } from "../models/urn.ts";
import { useFlows, useSystems } from "./api.ts";
import { type PaletteEntry, paletteOf, templatesOf } from "./palette.ts";

const STEPS: readonly EntityType[] = ["DEVICE_MODEL", "SERVICE", "CAPABILITY"];
const ROLES: readonly EntityType[] = ["DEVICE_MODEL", "DEVICE", "SERVICE", "CAPABILITY"];

export interface LoadedPalette {
  readonly entries: readonly PaletteEntry[];
  readonly library: readonly Entity[];
  readonly isPending: boolean;
  readonly error: unknown;
}

/** What steps of a flow can be made of. */
export function useFlowPalette(): LoadedPalette {
  const { all, isPending, error } = useLibrary(STEPS);
  return useMemo(() => ({ entries: paletteOf(all), library: all, isPending, error }), [all, isPending, error]);
}

/** What a system can be made of; `own` is the system itself. */
export function useRolePalette(own: string | null): LoadedPalette {
  const { all, isPending, error } = useLibrary(ROLES);
  const flows = useFlows();
  const systems = useSystems();
  const flowIds = flows.items.map((one) => one.id).join("\n");
  const systemIds = systems.items.map((one) => one.id).join("\n");
  return useMemo(() => {
    const others = systemIds.split("\n").filter((id) => id !== "" && !(own && sameUrn(id, own)));
    const entries = [
      ...templatesOf("flow", flowIds.split("\n").filter(Boolean)),
      ...paletteOf(all),
      ...templatesOf("system", others),
    ];
    return { entries, library: all, isPending, error };
  }, [all, isPending, error, flowIds, systemIds, own]);
}
