// What is wrong with a chosen password, before the server is asked (the server decides).

/** NIST SP 800-63B-4 asks for at least 15 for a password alone and 8 with a second factor; the server wants 14. */
const MIN_LENGTH = 14;

export function passwordAdvice(password: string, user: string): string | null {
  if ([...password].length < MIN_LENGTH) return `At least ${MIN_LENGTH} characters`;
  if (new Set(password).size < 5) return "Too repetitive";
  if (user.length > 2 && password.toLowerCase().includes(user.toLowerCase())) return "Must not contain the user's name";
  return null;
}
