// What the pages about people read: IAM users, and who has a way in or an invitation.
import { useQuery } from "@tanstack/react-query";
import { postJson } from "../api/client.ts";

export interface User {
  UserName: string;
  Arn: string;
  CreateDate: number;
}

export interface Invitation {
  user: string;
  /** ARN of whoever made it; null when it was made on the server. */
  by: string | null;
  created: number | null;
  expires: number;
}

export interface Invitations {
  invitations: Invitation[];
  /** Users who have set a password or a passkey. */
  entered: string[];
}

export const INVITATIONS = ["invitations"];

export function useInvitations() {
  return useQuery({ queryKey: INVITATIONS, queryFn: () => postJson<Invitations>("invitations/list", {}) });
}

export const ARN_OF_USER = (account: string, user: string) => `arn:aws:iam::${account}:user/${user}`;
