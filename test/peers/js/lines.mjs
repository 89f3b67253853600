// What the scripts and the Go test say to each other: one JSON value a line on
// stdout, commands on stdin. Everything else goes to stderr.
import { createInterface } from "node:readline";

console.log = console.info = console.debug = console.error;

export const env = process.env;

export function say(step, facts = {}) {
  process.stdout.write(JSON.stringify({ step, ...facts }) + "\n");
}

// fail ends the process with a message that the test shows.
export function fail(error) {
  process.stdout.write(JSON.stringify({ step: "failed", error: String(error?.stack ?? error) }) + "\n", () => process.exit(1));
}

process.on("unhandledRejection", fail);
process.on("uncaughtException", fail);

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// told waits for the next command; the end of the input is undefined.
export async function told() {
  return (await input.next()).value;
}
