// Passkeys: asks the browser's authenticator and turns its answer into what the server reads (base64url throughout).
import { ApiError, postJson } from "./client.ts";

/** Where passkeys work; null where browsers keep none (an IP address). */
export type PasskeyParty = { rpId: string; origin: string } | null;

interface Question {
  challenge: string;
  timeout: number;
  rpId: string;
  allow: string[];
}

interface Invitation {
  challenge: string;
  timeout: number;
  rp: { id: string; name: string };
  user: { id: string; name: string; displayName: string };
  algorithms: number[];
  exclude: string[];
}

/** Whether this page, in this browser, can use passkeys. */
export function passkeysWorkHere(party: PasskeyParty | undefined): boolean {
  return !!party && party.origin === window.location.origin && typeof window.PublicKeyCredential === "function";
}

function encode(buffer: ArrayBuffer): string {
  let text = "";
  for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function decode(text: string): ArrayBuffer {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0)).buffer;
}

const described = (ids: string[]): PublicKeyCredentialDescriptor[] =>
  ids.map((id) => ({ type: "public-key", id: decode(id) }));

/** What a browser says when it gives no passkey, in words a person can act on. */
function explained(error: unknown): unknown {
  if (!(error instanceof DOMException)) return error;
  const words: Record<string, string> = {
    InvalidStateError: "This device or key holds a passkey of yours already.",
    SecurityError: "The browser keeps no passkeys for this address.",
  };
  return new ApiError(
    400,
    error.name,
    words[error.name] ??
      "The browser gave no passkey: it was cancelled, took too long, or the browser does not trust the server's certificate.",
  );
}

/** Makes a passkey; answers the body that registers it. */
export async function makePasskey(purpose: "enrol" | "add", name: string): Promise<Record<string, unknown>> {
  const asked = await postJson<Invitation>("passkey/challenge", { purpose });
  try {
    const made = (await navigator.credentials.create({
      publicKey: {
        challenge: decode(asked.challenge),
        timeout: asked.timeout,
        rp: asked.rp,
        user: { ...asked.user, id: decode(asked.user.id) },
        pubKeyCredParams: asked.algorithms.map((alg) => ({ type: "public-key", alg })),
        authenticatorSelection: { residentKey: "required", requireResidentKey: true, userVerification: "required" },
        attestation: "none",
        excludeCredentials: described(asked.exclude),
      },
    })) as PublicKeyCredential;
    const response = made.response as AuthenticatorAttestationResponse;
    return {
      name,
      clientDataJSON: encode(response.clientDataJSON),
      attestationObject: encode(response.attestationObject),
    };
  } catch (error) {
    throw explained(error);
  }
}

/** Uses a passkey; answers the body that proves it. */
export async function provePasskey(purpose: "sign-in" | "again"): Promise<Record<string, unknown>> {
  const asked = await postJson<Question>("passkey/challenge", { purpose });
  try {
    const given = (await navigator.credentials.get({
      publicKey: {
        challenge: decode(asked.challenge),
        timeout: asked.timeout,
        rpId: asked.rpId,
        allowCredentials: described(asked.allow),
        userVerification: "required",
      },
    })) as PublicKeyCredential;
    const response = given.response as AuthenticatorAssertionResponse;
    return {
      id: encode(given.rawId),
      clientDataJSON: encode(response.clientDataJSON),
      authenticatorData: encode(response.authenticatorData),
      signature: encode(response.signature),
      userHandle: response.userHandle ? encode(response.userHandle) : null,
    };
  } catch (error) {
    throw explained(error);
  }
}
