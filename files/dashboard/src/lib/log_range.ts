/** The time range of a log search. */

import { fromLocal } from './time'

/** Ranges that end now, in seconds. */
export const RANGES = { '15m': 900, '1h': 3600, '6h': 21_600, '24h': 86_400, '7d': 604_800 } as const
export type Range = keyof typeof RANGES | 'custom'
export const DEFAULT_RANGE: Range = '1h'

export function isRange(text: string | undefined): text is Range {
  return text === 'custom' || (text !== undefined && text in RANGES)
}

/**
 * The bounds to ask the hub for, ISO 8601 UTC.
 * `from` and `to` (YYYY-MM-DDTHH:MM on the site's wall clock) count for "custom" only; either may be missing.
 */
export function rangeBounds(range: Range, from: string | undefined, to: string | undefined, zone: string, now: number): { from?: string; to?: string } {
  if (range !== 'custom') return { from: new Date(now - RANGES[range] * 1000).toISOString() }
  return { ...(from ? { from: fromLocal(from, zone) } : {}), ...(to ? { to: fromLocal(to, zone) } : {}) }
}
