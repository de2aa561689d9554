// A QR code as SVG, drawn here: the secret in it never leaves the page.
import { encode } from "uqr";

const QUIET_MODULES = 4;

export function Qr({ text, label, size = 176 }: { text: string; label: string; size?: number }) {
  const { data, size: modules } = encode(text, { ecc: "M", border: 0 });
  const path = data
    .flatMap((row, y) => row.map((on, x) => (on ? `M${x + QUIET_MODULES} ${y + QUIET_MODULES}h1v1h-1z` : "")))
    .join("");
  const side = modules + 2 * QUIET_MODULES;
  return (
    <svg
      width={size}
      height={size}
      viewBox={`0 0 ${side} ${side}`}
      role="img"
      aria-label={label}
      shapeRendering="crispEdges"
    >
      <rect width={side} height={side} rx={2} fill="#fff" />
      <path d={path} fill="#101816" />
    </svg>
  );
}
