// Who is signed in and where; light or dark; sign out.
import { Menu, Text, UnstyledButton, useMantineColorScheme } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { ChevronsUpDown, Fingerprint, LogOut, Monitor, Moon, Sun } from "lucide-react";
import { useSession, useSignOut } from "../api/session.ts";
import classes from "./user-menu.module.css";

const SCHEMES = [
  { value: "auto", label: "As the system", icon: Monitor },
  { value: "light", label: "Light", icon: Sun },
  { value: "dark", label: "Dark", icon: Moon },
] as const;

export function UserMenu() {
  const session = useSession();
  const signOut = useSignOut();
  // Without `keepTransitions` Mantine writes a <style> element, which the CSP refuses.
  const { colorScheme, setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  return (
    <Menu width={220} position="top-start" offset={6}>
      <Menu.Target>
        <UnstyledButton className={classes.button} title="Account menu">
          <span className={classes.avatar} aria-hidden>
            {session.user.slice(0, 1).toUpperCase()}
          </span>
          <span className={classes.words}>
            <span className={classes.user}>{session.user}</span>
            <span className={classes.place}>
              {session.accountName || session.account} · {session.region}
            </span>
          </span>
          <ChevronsUpDown size={14} aria-hidden />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          <Text size="xs" ff="monospace" className="breakable">
            {session.arn}
          </Text>
        </Menu.Label>
        <Menu.Divider />
        <Menu.Label>Colours</Menu.Label>
        {SCHEMES.map(({ value, label, icon: Icon }) => (
          <Menu.Item
            key={value}
            leftSection={<Icon size={15} aria-hidden />}
            onClick={() => setColorScheme(value)}
            fw={colorScheme === value ? 600 : 400}
            aria-current={colorScheme === value || undefined}
          >
            {label}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item component={Link} to="/my-sign-in" leftSection={<Fingerprint size={15} aria-hidden />}>
          My sign-in
        </Menu.Item>
        <Menu.Item leftSection={<LogOut size={15} aria-hidden />} onClick={() => signOut.mutate()}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
