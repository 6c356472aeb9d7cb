/**
 * `pnpm run release`, in the release workflow: builds, and publishes the versions that npm does not have yet.
 *
 * npm takes a statement of provenance only if the manifest names the repository that the workflow runs in. So it is written
 * there from the workflow's own environment, into this checkout and no commit.
 */
import { spawnSync } from "node:child_process"
import { globSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"

const root = join(import.meta.dirname, "..")

const run = (command: string, ...args: ReadonlyArray<string>) => {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" })
  if (status !== 0) process.exit(status ?? 1)
}

const repository = process.env.GITHUB_REPOSITORY
if (repository === undefined) {
  process.stdout.write("Only the release workflow publishes: GITHUB_REPOSITORY is not set.\n")
  process.exit(1)
}

for (const path of globSync("packages/*/package.json", { cwd: root })) {
  const manifest: Readonly<Record<string, unknown>> = JSON.parse(readFileSync(join(root, path), "utf8"))
  const url = `git+https://github.com/${repository}.git`
  const named = { ...manifest, repository: { type: "git", url, directory: dirname(path) } }
  writeFileSync(join(root, path), `${JSON.stringify(named, null, 2)}\n`)
}

run("tsc", "-b")
run("node", "scripts/publish-pure.ts")
run("changeset", "publish")
