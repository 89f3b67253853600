// Both ways in which jsforce logs in.
import jsforce from "jsforce";
import { env } from "./lines.mjs";

export const version = "66.0";

export async function byOAuth() {
  const conn = new jsforce.Connection({
    version,
    oauth2: { loginUrl: env.ORG_URL, clientId: env.CLIENT_ID, clientSecret: env.CLIENT_SECRET },
  });
  const user = await conn.login(env.ORG_USER, env.ORG_PASSWORD);
  return { conn, user };
}

export async function bySoap() {
  const conn = new jsforce.Connection({ version, loginUrl: env.ORG_URL });
  const user = await conn.login(env.ORG_USER, env.ORG_PASSWORD);
  return { conn, user };
}
