// How the console is built: base path, the theme as a stylesheet (no style element at run time), unit tests.
import { convertCssVariables, DEFAULT_THEME, defaultCssVariablesResolver, mergeMantineTheme } from "@mantine/core";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { theme } from "./src/theme.ts";

/** Serves `virtual:theme.css`: the CSS variables of `src/theme.ts`, which Mantine would otherwise write into a `<style>`. */
function themeStylesheet(): Plugin {
  const id = "\0theme.css";
  return {
    name: "marram-theme-stylesheet",
    resolveId: (source) => (source === "virtual:theme.css" ? id : null),
    load: (wanted) => {
      if (wanted !== id) return null;
      const merged = mergeMantineTheme(DEFAULT_THEME, theme);
      return convertCssVariables(defaultCssVariablesResolver(merged), ":root");
    },
  };
}

export default defineConfig({
  base: "/console/",
  plugins: [react(), themeStylesheet()],
  build: {
    target: "es2022",
    // data: URLs are not in our CSP's img-src or font-src.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    chunkSizeWarningLimit: 700,
  },
  server: {
    port: 5173,
    proxy: { "/console/api": { target: process.env.MARRAM_CONSOLE_ORIGIN ?? "https://localhost:8443", secure: false } },
  },
  // None is judged by the clock: a machine may be slow.
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"], testTimeout: 120_000, hookTimeout: 120_000 },
} as Parameters<typeof defineConfig>[0]);
