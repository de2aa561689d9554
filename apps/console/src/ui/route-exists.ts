// Whether this build has a page, so that nothing links to one that is not there.
import { useRouter } from "@tanstack/react-router";

export function useRouteExists(): (path: string) => boolean {
  const { routesByPath } = useRouter();
  return (path) => path in routesByPath;
}
