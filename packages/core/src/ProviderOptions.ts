/**
 * Settings of a key that only one vendor has, namespaced by that vendor.
 *
 * @since 0.1.0
 */

/**
 * A vendor's own settings of a key, by provider id.
 *
 * **Details**
 *
 * An adapter adds its namespace by module augmentation:
 *
 * ```ts
 * declare module "@effect-api-keys/core/ProviderOptions" {
 *   interface ProviderOptions {
 *     readonly acme?: { readonly tracking?: boolean }
 *   }
 * }
 * export {}
 * ```
 *
 * The bound vendor's namespace is decoded strictly: an unknown field is refused. Another vendor's namespace is carried
 * and not applied, so that one program can state the options of every vendor it may be given.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProviderOptions {
  /** Keeps the interface from being an open type: without a member, any object would be assignable to it. */
  readonly "~@effect-api-keys/core/ProviderOptions"?: never
}
