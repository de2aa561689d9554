// The look of the console: colours, type, radii. Also read at build time, where it becomes a stylesheet (vite.config.ts).
import { createTheme, type MantineColorsTuple } from "@mantine/core";

const grass: MantineColorsTuple = [
  "#ecf8f4",
  "#d6efe7",
  "#aaddcd",
  "#7bcab2",
  "#53ba9b",
  "#2fa584",
  "#17866a",
  "#0b6e5b",
  "#085a4a",
  "#06473b",
];

const dark: MantineColorsTuple = [
  "#d3d8d7",
  "#b4bbba",
  "#949d9b",
  "#6a7472",
  "#414a48",
  "#303836",
  "#242b29",
  "#1b2120",
  "#141918",
  "#0e1211",
];

const gray: MantineColorsTuple = [
  "#f7f8f7",
  "#eff1f0",
  "#e3e7e5",
  "#d5dad8",
  "#c2c9c6",
  "#a3aca9",
  "#7d8784",
  "#57615e",
  "#39423f",
  "#212826",
];

export const theme = createTheme({
  primaryColor: "grass",
  primaryShade: { light: 7, dark: 6 },
  autoContrast: true,
  luminanceThreshold: 0.36,
  colors: { grass, dark, gray },
  fontFamily: 'Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif',
  fontFamilyMonospace:
    'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace',
  headings: {
    fontWeight: "600",
    sizes: {
      h1: { fontSize: "1.375rem", lineHeight: "1.3" },
      h2: { fontSize: "1.0625rem", lineHeight: "1.4" },
      h3: { fontSize: "0.9375rem", lineHeight: "1.4" },
    },
  },
  fontSizes: { xs: "0.75rem", sm: "0.8438rem", md: "0.9375rem", lg: "1.0625rem", xl: "1.25rem" },
  defaultRadius: "md",
  radius: { md: "0.5rem" },
  cursorType: "pointer",
  respectReducedMotion: true,
  components: {
    // Mantine's scroll lock writes a <style> element, which the CSP refuses.
    Modal: { defaultProps: { lockScroll: false, centered: true, overlayProps: { backgroundOpacity: 0.45 } } },
    Drawer: { defaultProps: { lockScroll: false } },
    Button: { defaultProps: { size: "sm" } },
    TextInput: { defaultProps: { size: "sm" } },
    Notification: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
    Tooltip: { defaultProps: { withArrow: true, openDelay: 250 } },
    Menu: { defaultProps: { shadow: "md", withinPortal: true } },
    Badge: { defaultProps: { variant: "light", radius: "sm", tt: "none", fw: 550 } },
    Loader: { defaultProps: { size: "sm", type: "dots", role: "status" } },
  },
});
