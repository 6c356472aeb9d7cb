import * as fc from "fast-check"

// The same cases in every run, so that a change is what makes a test fail; FC_SEED=<number> looks elsewhere.
fc.configureGlobal({ seed: Number(process.env.FC_SEED ?? 20261121) })
