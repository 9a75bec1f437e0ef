import type { RouteLocationRaw } from 'vue-router'

/** Where to go after logging in: only a path of this page, never another site's address. */
export function afterLogin(next: unknown): RouteLocationRaw {
  return typeof next === 'string' && /^\/(?![/\\])/.test(next) ? next : { name: 'status' }
}
