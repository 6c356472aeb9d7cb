import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "examples/test/**/*.test.ts", "test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    testTimeout: 20_000,
    // Two cores: more workers only wait for each other.
    maxWorkers: 2,
    // Simulations leave much behind that is soon garbage: with room for it, collecting costs a tenth less.
    execArgv: ["--max-semi-space-size=64"],
    // To load Effect anew for every file takes longer than most files' tests. No test may change what others see.
    isolate: false
  }
})
