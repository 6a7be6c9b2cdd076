// Asks the server. Holds the key, in this tab's session only; knows the one shape of errors.

const SLOT = "scalecast-key";
let key = stored();

export class Refused extends Error {
  constructor(status, problems, retryAfter) {
    super(problems.map((one) => one.message).join("; ") || `the server answered ${status}`);
    this.status = status;
    this.problems = problems;
    this.retryAfter = retryAfter;
  }
}

export class Unreachable extends Error {}

export const hasKey = () => key !== "";

// Raises RangeError for what no header can carry.
export function useKey(text) {
  if (text && !/^[\x21-\x7e]+$/.test(text)) throw new RangeError("a key has only letters, digits, - and _");
  key = text;
  try {
    if (text) sessionStorage.setItem(SLOT, text);
    else sessionStorage.removeItem(SLOT);
  } catch {
    // Without storage the key lives as long as the page.
  }
}

// GET, or POST where there is a body; the path is relative, so that a prefix of a proxy is kept.
export async function ask(path, { body, signal, parameters } = {}) {
  const reply = await send(path, { body, signal, parameters });
  return reply.json();
}

export async function send(path, { body, signal, parameters } = {}, patience = 2) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const address = parameters ? `${path}?${new URLSearchParams(parameters)}` : path;
  let reply;
  try {
    reply = await fetch(address, {
      method: body ? "POST" : "GET", headers, signal, credentials: "omit",
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable("the server does not answer");
  }
  if (reply.ok) return reply;
  const retryAfter = Number(reply.headers.get("Retry-After"));
  if (reply.status === 503 && retryAfter > 0 && patience > 0) {
    await new Promise((done) => setTimeout(done, retryAfter * 1000));
    signal?.throwIfAborted();
    return send(path, { body, signal, parameters }, patience - 1);
  }
  throw new Refused(reply.status, await problemsOf(reply), retryAfter);
}

async function problemsOf(reply) {
  try {
    const { detail } = await reply.json();
    return Array.isArray(detail) ? detail : [];
  } catch {
    return [];
  }
}

function stored() {
  try {
    return sessionStorage.getItem(SLOT) ?? "";
  } catch {
    return "";
  }
}
