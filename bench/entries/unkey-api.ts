/** Mints one key at Unkey. */
import { Unkey } from "@unkey/api"

export const create = (rootKey: string, name: string) =>
  new Unkey({ rootKey }).keys.createKey({ apiId: "api_test_1", name })
