import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"

const folders: Array<string> = []

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A path in an empty folder of its own, which goes when the test file ends. */
export const freshFile = (name = "vault.sqlite"): string => {
  const folder = mkdtempSync(join(tmpdir(), "api-keys-rotation-"))
  folders.push(folder)
  return join(folder, name)
}

/** What lies in the folder of a file, by name. Another process reads, for closing a file ends this one's locks on it. */
export const bytesBeside = (file: string): ReadonlyMap<string, Buffer> => {
  const folder = join(file, "..")
  return new Map(
    readdirSync(folder).map((name) => [
      name,
      execFileSync(
        process.execPath,
        ["-e", "process.stdout.write(fs.readFileSync(process.argv[1]))", join(folder, name)],
        {
          maxBuffer: 1 << 28
        }
      )
    ])
  )
}
