// The application: providers, and what is shown for each state of the session.
import { Center, Loader, localStorageColorSchemeManager, MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { useRef } from "react";
import { ApiError } from "./api/client.ts";
import { SessionContext, type SignedIn, useSessionQuery } from "./api/session.ts";
import { router } from "./routes.tsx";
import { SignInAgain } from "./sign-in/again.tsx";
import { EnrolPage } from "./sign-in/enrol.tsx";
import { Reauthenticate } from "./sign-in/reauthenticate.tsx";
import { SignInPage } from "./sign-in/sign-in.tsx";
import { takeWelcomeToken, WelcomePage } from "./sign-in/welcome.tsx";
import { theme } from "./theme.ts";
import { ErrorPanel } from "./ui/error-panel.tsx";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // What the server refuses, it refuses again; only silence is worth another try.
      retry: (failures, error) =>
        failures < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 502),
    },
  },
});
const schemes = localStorageColorSchemeManager({ key: "marram-color-scheme" });
const welcomeToken = takeWelcomeToken();

export function App() {
  return (
    // The variables are in the stylesheet `virtual:theme.css`; elements of style are closed by the CSP.
    <MantineProvider
      theme={theme}
      defaultColorScheme="auto"
      colorSchemeManager={schemes}
      withCssVariables={false}
      withGlobalClasses={false}
    >
      <QueryClientProvider client={queries}>
        <Notifications position="bottom-right" containerWidth={380} limit={4} />
        <BySession />
      </QueryClientProvider>
    </MantineProvider>
  );
}

function BySession() {
  const { data: session, error, refetch, isFetching } = useSessionQuery();
  const last = useRef<SignedIn | null>(null);
  if (session === undefined) {
    return (
      <Center mih="100vh" p="md">
        {error ? (
          <ErrorPanel error={error} retry={() => void refetch()} retrying={isFetching} />
        ) : (
          <Loader aria-label="Loading" />
        )}
      </Center>
    );
  }
  if (session.state === "enrolling") return <EnrolPage session={session} />;
  if (session.state === "signed-in") last.current = session;
  const person = session.state === "signed-in" ? session : last.current;
  if (person === null) {
    if (welcomeToken !== null) return <WelcomePage token={welcomeToken} />;
    return <SignInPage firstRun={session.state === "signed-out" && session.firstRun} />;
  }
  return (
    <SessionContext value={person}>
      <RouterProvider router={router} />
      <Reauthenticate />
      {session.state === "signed-out" && <SignInAgain person={person} />}
    </SessionContext>
  );
}
