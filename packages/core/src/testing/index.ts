export * as HttpSandbox from "./HttpSandbox.ts"
