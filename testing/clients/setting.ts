// What the test gives a story, and how a story says what it found.
function given(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

export const url = given("STATUSPULSE_URL");
export const key = given("STATUSPULSE_KEY");
export const receiver = given("RECEIVER_URL");
export const withKey = { Authorization: `Bearer ${key}` };

export function show(...words: unknown[]): void {
  console.log(words.join(" "));
}

export function secretWasReplaced(before: string, after: string): boolean {
  return before.startsWith("whsec_") && after.startsWith("whsec_") && before !== after;
}
