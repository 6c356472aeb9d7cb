/** Debian's Chromium without a window, for one page. */
import { spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const command = "chromium"

/** Whether there is one to start. */
export const available = spawnSync("/bin/sh", ["-c", `command -v ${command}`]).status === 0

/** The name of a test that needs it: where it is skipped, the name says why. */
export const byName = (name: string): string =>
  available ? name : `${name} (Chromium is not installed: apt-get install chromium)`

const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--disable-extensions",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync"
]

/** What a page is when it has loaded: Chromium then ends by itself, and does too where the page's server ends. */
export const loaded = async (url: string): Promise<string> => {
  const profile = mkdtempSync(join(tmpdir(), "api-keys-chromium-"))
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(command, [...flags, `--user-data-dir=${profile}`, "--dump-dom", url], {
        env: { PATH: process.env.PATH, HOME: profile, LC_ALL: "C.UTF-8" }
      })
      const late = setTimeout(() => child.kill("SIGKILL"), 30_000)
      let dom = ""
      let said = ""
      child.stdout.on("data", (chunk: Buffer) => {
        dom += chunk.toString()
      })
      child.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString()
      })
      child.once("error", reject)
      child.once("close", (code) => {
        clearTimeout(late)
        if (code === 0) resolve(dom)
        else reject(new Error(`Chromium ended with ${code}:\n${said}`))
      })
    })
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}
