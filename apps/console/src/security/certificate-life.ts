// How long a certificate still lives, in words and as a state.

export interface CertificateSummary {
  certificateId: string;
  certificateArn: string;
  status: string;
  creationDate?: number;
}

export interface CertificateDetail extends CertificateSummary {
  validity?: { notBefore?: number; notAfter?: number };
  lastModifiedDate?: number;
  ownedBy?: string;
  caCertificateId?: string;
  certificatePem?: string;
}

const DAY = 86_400;
/** Renewal takes a deployment, and somebody who notices. */
export const SOON_SECONDS = 30 * DAY;

export type Life = "EXPIRED" | "EXPIRES_SOON" | "VALID" | "UNKNOWN";

/** `now` in epoch seconds. A certificate that lets nobody in is not a worry, whatever its age. */
export function life(certificate: CertificateDetail, now: number): Life {
  const end = certificate.validity?.notAfter;
  if (end === undefined) return "UNKNOWN";
  if (end <= now) return "EXPIRED";
  return end - now < SOON_SECONDS ? "EXPIRES_SOON" : "VALID";
}

/** Those that end first come first; unknown ends come last. */
export function byExpiry(a: CertificateDetail, b: CertificateDetail): number {
  return (a.validity?.notAfter ?? Number.POSITIVE_INFINITY) - (b.validity?.notAfter ?? Number.POSITIVE_INFINITY);
}
