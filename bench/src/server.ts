/**
 * The vendor, in a process of its own: constant replies over `node:http` on loopback, so that what is measured is the client.
 * Tells its parent the port when it listens.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { keysPath, listReply, replies, rotatePath } from "./vendor.ts"

const bytes = Object.fromEntries(
  Object.entries(replies).map(([verb, reply]) => [verb, Buffer.from(JSON.stringify(reply))])
)
const lists = new Map<number, Buffer>()

const list = (count: number): Buffer => {
  const made = lists.get(count) ?? Buffer.from(listReply(count))
  lists.set(count, made)
  return made
}

let connections = 0

/** How many connections were made since this was last asked. */
const seen = (): Buffer => {
  const stats = JSON.stringify({ connections })
  connections = 0
  return Buffer.from(stats)
}

const answer = ({ method, url = "" }: IncomingMessage): Buffer | undefined => {
  if (method === "POST") return url === rotatePath ? bytes.rotate : bytes.create
  if (method === "PATCH") return bytes.patch
  if (url === "/seen") return seen()
  // A path before the vendor's own says how many keys there are.
  const count = /^\/list\/(\d+)(.*)$/.exec(url)
  return count?.[2] === keysPath ? list(Number(count[1])) : undefined
}

const respond = (request: IncomingMessage, response: ServerResponse): void => {
  const body = answer(request)
  response.writeHead(body === undefined ? 404 : 200, {
    "content-type": "application/json",
    "content-length": body?.byteLength ?? 0
  })
  response.end(body)
}

const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
  request.resume()
  request.on("end", () => respond(request, response))
})
server.on("connection", () => connections++)

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  process.send?.(typeof address === "object" ? address?.port : undefined)
})
process.on("disconnect", () => process.exit())
